"""This package beside four living ones, on the same models in the same run."""
