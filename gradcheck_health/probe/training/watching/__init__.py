"""Watching a real loop: what is read at each step, at what cost, and what is kept of it."""
