"""What enters a loss: the tensor that predicts, and the loss as a function of it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.passes import call, eager
from gradcheck_health.probe.subject import Subject

_BY_CLASS = (F.cross_entropy, F.nll_loss)
_BY_ENTRY = (
    F.mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
)
# their value at a constant output is no measure of anything: another base, or none
_UNFIT = (
    F.ctc_loss,
    F.kl_div,
    F.gaussian_nll_loss,
    F.poisson_nll_loss,
    F.cosine_embedding_loss,
    F.hinge_embedding_loss,
    F.margin_ranking_loss,
    F.triplet_margin_loss,
    F.triplet_margin_with_distance_loss,
)


@dataclass(frozen=True)
class Entering:
    """A prediction on its way into a loss."""

    prediction: torch.Tensor
    """Detached."""
    loss: Callable[[torch.Tensor], torch.Tensor]
    """From a tensor of that shape to a scalar; the targets stay."""
    value: float
    """At the prediction."""
    classes: int | None
    """The axis of the classes; None where every entry has a target of its own and axis 0 counts the samples."""
    link: Callable[[torch.Tensor], torch.Tensor] | None = None
    """From any numbers to what the loss takes (probabilities, log-probabilities); None where it takes any number."""


def entering(subject: Subject) -> Entering | None:
    """From one forward pass; None where the loss is not one call of a known function, nor a function of one output tensor.

    Raises:
        ModelError: forward or the loss raised.
    """
    with eager(), _Calls() as calls:
        output = call(subject.model, subject.inputs, subject.seed)
        goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
    if goal.value is None or calls.unfit:
        return None
    last = next((seen for seen in calls.seen if seen[3] is goal.roots[0]), None)
    if last is not None:
        return _of_call(last[0], last[1], last[2], goal.value)
    batch = subject.inputs.batch
    if subject.loss is None or not isinstance(output, torch.Tensor) or not output.is_floating_point() or not output.dim():
        return None
    return Entering(output.detach(), subject.loss, goal.value, None) if batch == output.shape[0] else None


def _of_call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: float) -> Entering | None:
    rest = {key: item for key, item in kwargs.items() if key != "input"}
    prediction = args[0] if args else kwargs.get("input")
    if not isinstance(prediction, torch.Tensor) or not prediction.dim():
        return None

    def loss(candidate: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = function(candidate, *args[1:], **rest)
        return found

    classes = min(prediction.dim() - 1, 1) if function in _BY_CLASS else None
    link: Callable[[torch.Tensor], torch.Tensor] | None = None
    if function is F.binary_cross_entropy:
        link = torch.sigmoid
    elif function is F.nll_loss:
        link = _log_probabilities
    return Entering(prediction.detach(), loss, value, classes, link)


def _log_probabilities(constant: torch.Tensor) -> torch.Tensor:
    return constant.log_softmax(0)


class _Calls(TorchFunctionMode):
    """The calls of torch's losses: function, arguments, keyword arguments, result."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []
        self.unfit = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.unfit |= func in _UNFIT
        if func in _BY_CLASS or func in _BY_ENTRY:
            self.seen.append((func, args, kwargs or {}, out))
        return out
