"""Watching a training loop, and short trial runs: the rules of training on what was seen, and the whole check on suspicion."""
