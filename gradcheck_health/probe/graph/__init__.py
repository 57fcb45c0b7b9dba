"""What the autograd graph shows."""
