"""The values that stages hand to one another: frozen, plain, to JSON and back."""
