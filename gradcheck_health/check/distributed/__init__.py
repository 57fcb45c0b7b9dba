"""A check by several ranks: the same facts in the same order, one verdict."""
