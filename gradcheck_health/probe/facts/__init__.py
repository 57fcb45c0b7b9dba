"""One fact per file: the same measurement under another condition, `fact(subject, trace) -> tuple[Trace, ...]`.

Taken only when a rule asks for it by `Need("name")`. The model comes back as it was.
"""
