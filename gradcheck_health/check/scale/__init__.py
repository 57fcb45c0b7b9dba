"""Sweeps: a factory built in several depths and widths, how its health changes with them, and what that predicts."""
