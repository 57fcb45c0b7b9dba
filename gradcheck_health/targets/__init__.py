"""From "model.py:Net" to a factory of models; nothing of it measures."""
