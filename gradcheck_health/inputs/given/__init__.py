"""What the user or the model gives: read, checked, and where it fails the nearest inputs that run."""
