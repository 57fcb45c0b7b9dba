"""What a check leaves behind, on many models."""
