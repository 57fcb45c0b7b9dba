"""Models that live in several processes: which ranks there are, what each holds of a tensor, and how they agree."""
