"""Sound trainings, by what is special about them."""
