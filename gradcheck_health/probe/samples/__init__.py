"""Proof that a forward pass keeps the samples of a batch apart: the axis along which they lie, operation by operation."""
