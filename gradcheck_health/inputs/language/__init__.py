"""The little language of input specs, "f32[B,3,H,W]", and drawing its values."""
