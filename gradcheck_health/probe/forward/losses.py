"""What the losses of a forward pass are handed: predictions and targets that do not fit, in shape or in meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from gradcheck_health.model.source.lines import user_line
from gradcheck_health.records.losses import LossPairing, MisreadLoss

_Read = Callable[[torch.Tensor, Any, Mapping[str, Any]], str]
TOLERANCE = 1e-3
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
        if not _is_ordinary(first) or not first.dim() or (isinstance(second, torch.Tensor) and not _is_ordinary(second)):
            return
        if pairs_all(first, second):
            shape = tuple(_joined(first, second))
            self.pairings.append(LossPairing(func.__name__, tuple(first.shape), tuple(second.shape), shape, layer, user_line()))
        read = LOSSES.get(func)
        if read is not None and first.numel():
            got, _, wanted = read(first.detach(), second, kwargs).partition("|")
            if got:
                self.misread.append(MisreadLoss(func.__name__, got, wanted, layer, user_line()))


def _is_ordinary(tensor: Any) -> bool:
    """Dense, with values that may be looked at: not inside a transform of torch.func, where a comparison raises."""
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and not (tensor.is_nested or tensor.is_meta or tensor.is_quantized)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def operands(args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Prediction and target, however they were passed."""
    first = args[0] if args else kwargs.get("input", kwargs.get("log_probs", kwargs.get("input1")))
    second = args[1] if len(args) > 1 else kwargs.get("target", kwargs.get("targets", kwargs.get("other")))
    return first, second


def pairs_all(first: Any, second: Any) -> bool:
    """One depends on the parameters, the other does not, and (B, 1) meets (B,): the same numbers, and B x B results."""
    if not (_is_ordinary(first) and _is_ordinary(second) and first.dim()):
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


def _is_distribution(values: torch.Tensor, axis: int) -> bool:
    """Nowhere negative, and every row along the axis sums to one."""
    if not -values.dim() <= axis < values.dim() or values.shape[axis] < 2 or bool((values < 0).any()):
        return False
    return bool(((values.float().sum(axis) - 1).abs() < TOLERANCE).all())


def _classes(values: torch.Tensor) -> int:
    return 1 if values.dim() > 1 else 0


def _log_probabilities(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if bool((values > TOLERANCE).any()):
        kind = "probabilities" if any(_is_distribution(values, axis) for axis in range(values.dim())) else "raw scores"
        return f"{kind}|log-probabilities, which are never above 0: take log_softmax first"
    return ""


def _divergence(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    found = _log_probabilities(values, target, kwargs)
    if found:
        return found
    logs = bool(kwargs.get("log_target", False))
    if isinstance(target, torch.Tensor) and target.is_floating_point() and target.numel():
        if not logs and bool((target < -TOLERANCE).any()):
            return "a target with negative entries|a target of probabilities; for logarithms say log_target=True"
        if logs and bool((target > TOLERANCE).any()):
            return "a target with positive entries|a target of log-probabilities, as log_target=True says"
    return ""


def _logits_of_classes(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if _is_distribution(values, _classes(values)):
        return "probabilities|logits: it takes their softmax itself"
    if isinstance(target, torch.Tensor) and target.is_floating_point() and target.numel() and bool((target < -TOLERANCE).any()):
        return "a target with negative entries|class indices, or the probabilities of the classes"
    return ""


def _binary(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if not isinstance(target, torch.Tensor) or not target.numel() or target.is_complex():
        return ""
    low, high = (float(edge) for edge in target.detach().aminmax())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        return f"a target from {low:.3g} to {high:.3g}|a target from 0 to 1: the probability of the class"
    return ""


def _signed(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if isinstance(target, torch.Tensor) and target.numel() and bool((target == 0).any()):
        return "a target with zeros|a target of -1 and 1"
    return ""


def _ranked(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    return _signed(values, kwargs.get("target"), kwargs)


LOSSES: dict[Any, _Read | None] = {
    F.nll_loss: _log_probabilities,
    F.ctc_loss: _log_probabilities,
    F.kl_div: _divergence,
    F.cross_entropy: _logits_of_classes,
    F.binary_cross_entropy: _binary,
    F.binary_cross_entropy_with_logits: _binary,
    F.hinge_embedding_loss: _signed,
    F.soft_margin_loss: _signed,
    F.mse_loss: None,
    F.l1_loss: None,
    F.smooth_l1_loss: None,
    F.huber_loss: None,
    F.poisson_nll_loss: None,
    F.gaussian_nll_loss: None,
}
"""Function -> what is wrong with its arguments, "got|wanted", or ""."""
