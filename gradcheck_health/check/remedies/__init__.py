"""Cures: each is applied to the model inside the sandbox, measured, put back, and only then suggested."""
