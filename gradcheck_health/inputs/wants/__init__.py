"""What a failed operation wanted of its operands, and the edits of a plan that would give it."""
