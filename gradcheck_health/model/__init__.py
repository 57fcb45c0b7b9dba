"""Handling a user's nn.Module: its names, its source, one call of it, its weights, and restoring everything."""
