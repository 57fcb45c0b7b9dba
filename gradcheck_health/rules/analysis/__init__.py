"""What several rules compute from a trace."""
