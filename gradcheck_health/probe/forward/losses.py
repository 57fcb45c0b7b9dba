"""What the losses of a forward pass are handed: predictions and targets that do not fit, in shape or in meaning."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from gradcheck_health.model.source.lines import user_line
from gradcheck_health.probe.loss_arguments import MEAN, handed, is_ordinary, one_sided, operands, unreachable
from gradcheck_health.records.losses import LossPairing, MisreadLoss

_OF_CLASSES = frozenset([F.nll_loss, F.ctc_loss, F.cross_entropy])
"""They do not pair entries."""
JOINS = frozenset(
    [
        "add",
        "sub",
        "subtract",
        "rsub",
        "__sub__",
        "__rsub__",
        "mul",
        "multiply",
        "__mul__",
        "__rmul__",
        "div",
        "divide",
        "true_divide",
        "maximum",
        "minimum",
        "dist",
    ]
)
"""Operations that pair entries of a prediction and of a target in a loss that is written out."""


class Losses:
    """Told of the losses of torch, and of elementwise operations, by the instrument."""

    def __init__(self) -> None:
        self.misread: list[MisreadLoss] = []
        self.pairings: list[LossPairing] = []

    def observe(self, func: Any, args: Any, kwargs: Any, layer: str) -> None:
        """A call of a loss, or of an operation in `JOINS`."""
        first, second = operands(args, kwargs)
        if not is_ordinary(first) or not first.dim() or (isinstance(second, torch.Tensor) and not is_ordinary(second)):
            return
        if func not in _OF_CLASSES and pairs_all(first, second):
            shape = tuple(_joined(first, second))
            self.pairings.append(LossPairing(func.__name__, tuple(first.shape), tuple(second.shape), shape, layer, user_line()))
        got, wanted = handed(func, first, second, kwargs)
        if got:
            self.misread.append(MisreadLoss(func.__name__, got, wanted, layer, user_line(), minor=got == MEAN))
            return
        got, wanted = unreachable(func, first, second)
        minor = not got
        if minor:
            got, wanted = one_sided(func, first, second)
        if got:
            self.misread.append(MisreadLoss(func.__name__, got, wanted, layer, user_line(), minor, reach=True))


def pairs_all(first: Any, second: Any) -> bool:
    """One depends on the parameters, the other does not, and (B, 1) meets (B,): the same numbers, and B x B results."""
    if not (is_ordinary(first) and is_ordinary(second) and first.dim()):
        return False
    if first.dim() == second.dim() or first.requires_grad == second.requires_grad:
        return False
    if first.numel() != second.numel() or first.numel() < 2 or _squeezed(first) != _squeezed(second):
        return False
    try:
        shape = _joined(first, second)
    except RuntimeError:
        return False
    wider = first if first.dim() > second.dim() else second
    # a[:, None] - b: whoever inserts the axis means it
    return shape.numel() > first.numel() and "Unsqueeze" not in _maker(wider)


def _joined(first: torch.Tensor, second: torch.Tensor) -> torch.Size:
    shape: torch.Size = torch.broadcast_shapes(first.shape, second.shape)  # type: ignore[no-untyped-call]
    return shape


def _squeezed(tensor: torch.Tensor) -> list[int]:
    return [size for size in tensor.shape if size != 1]


def _maker(tensor: torch.Tensor) -> str:
    return "" if tensor.grad_fn is None else tensor.grad_fn.name()
