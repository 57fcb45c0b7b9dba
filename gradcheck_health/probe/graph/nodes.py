"""A node of the autograd graph, and what it keeps for its backward."""

from __future__ import annotations

from typing import Any

Node = Any
"""torch.autograd.graph.Node; its Python wrapper keeps its identity for as long as something refers to it."""


def saved(node: Node, name: str) -> Any:
    """What an operation saved for its backward; None where it saved nothing by that name, or it was written over since."""
    try:
        return getattr(node, f"_saved_{name}", None)
    except RuntimeError:
        return None
