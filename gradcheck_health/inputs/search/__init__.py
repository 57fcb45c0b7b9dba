"""The search for inputs that run: trials, the solver of dimensions, fallbacks, and the message where it fails."""
