"""Is something without a gradient added to a loss? What the autograd graph says of its summands."""

from __future__ import annotations

from typing import Any

import torch

_SUMS = ("AddBackward", "SubBackward", "RsubBackward")
_SCALES = (
    "MulBackward",
    "DivBackward",
    "NegBackward",
    "MeanBackward",
    "SumBackward",
    "StackBackward",
    "SqueezeBackward",
    "ViewBackward",
)
_MOST = 200


def has_constant_term(roots: tuple[torch.Tensor, ...]) -> bool:
    """An addition of scalars, on the way from the loss down through sums and factors, has a summand without a gradient."""
    stack: list[Any] = [root.grad_fn for root in roots if root.dim() == 0 and root.grad_fn is not None]
    seen: set[Any] = set()
    while stack and len(seen) < _MOST:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        name = node.name()
        if name.startswith(_SUMS) and any(following is None for following, _ in node.next_functions):
            return True
        if name.startswith((*_SUMS, *_SCALES)):
            stack += [following for following, _ in node.next_functions if following is not None and _scalar(following)]
    return False


def _scalar(node: Any) -> bool:
    metadata = getattr(node, "_input_metadata", None)
    return metadata is None or all(torch.Size(one.shape).numel() == 1 for one in metadata)
