"""By what a loss was multiplied at last, and whether it is a mean: read off its autograd graph."""

from __future__ import annotations

from typing import Any

import torch

from gradcheck_health.probe.graph.nodes import saved

_MEANS = ("MeanBackward",)
_REDUCED = ("NllLoss", "MseLoss", "SmoothL1Loss", "HuberLoss", "BinaryCrossEntropy", "KlDiv", "SoftMarginLoss", "MultiMargin")
_MEAN = 1
"""torch's number for reduction="mean"."""
_THROUGH = ("ToCopyBackward", "CloneBackward", "SqueezeBackward", "ViewBackward", "AliasBackward")


def last_factor(loss: torch.Tensor) -> tuple[float, bool]:
    """(the product of the numbers that multiply it last, whether what is below is a mean)."""
    factor, node = 1.0, loss.grad_fn
    for _ in range(8):
        if node is None:
            return factor, False
        name = node.name()
        if name.startswith(("MulBackward", "DivBackward")):
            other = _number(node)
            if other is None:
                return factor, False
            factor = factor * other if name.startswith("Mul") else factor / other if other else factor
        elif not name.startswith(_THROUGH):
            break
        node = next((following for following, _ in node.next_functions if following is not None), None)
    name = "" if node is None else node.name()
    mean = name.startswith(_MEANS) or (name.startswith(_REDUCED) and getattr(node, "_saved_reduction", _MEAN) == _MEAN)
    return factor, mean


def _number(node: Any) -> float | None:
    """The other factor, if it is one number: torch saves it as a tensor or as a scalar."""
    other = saved(node, "other")
    if isinstance(other, torch.Tensor):
        return float(other) if other.numel() == 1 and not other.requires_grad and not other.is_meta else None
    return float(other) if isinstance(other, int | float) else None
