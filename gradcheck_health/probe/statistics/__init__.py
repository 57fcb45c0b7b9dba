"""Numbers of a tensor, in one pass over it."""
