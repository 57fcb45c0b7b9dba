"""Callbacks for other people's training loops, one framework a file; each imports its framework, and nothing imports them.

They are public as `gradcheck_health.lightning`, `gradcheck_health.transformers` and `gradcheck_health.keras`.
"""
