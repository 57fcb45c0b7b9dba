"""The settings of a check: where they stand, what they may say, which one wins."""
