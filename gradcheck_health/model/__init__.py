"""Handling somebody's nn.Module: its names, its source, one call of it, its weights, and everything put back."""
