"""What one and more steps of training show: the loss, the optimizer, and what they do to the model."""
