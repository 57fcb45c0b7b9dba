"""The prediction that enters the loss of a model, and the loss as a function of that tensor alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.experiments.paired_runs import changed
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.inputs import Inputs

_Call = tuple[Any, tuple[Any, ...], dict[str, Any], Any]
"""Function, arguments, keyword arguments, result."""
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
    by_hand: bool = False
    """No call of a loss of torch makes it."""
    made_by: int = 0
    """id() of the parameter of two or more dimensions that is nearest in the graph; 0 if there is none."""


def entering(subject: Subject) -> Entering | None:
    """From one forward pass; None where the loss is not one call of a known function, nor a function of one output tensor.

    None, too, where the prediction depends on its own target: a margin is not what the model believes.

    Raises:
        ModelError: forward or the loss raised.
    """
    output, value, last = _run(subject, subject.inputs)
    if value is None:
        return None
    if last is not None:
        found = _of_call(last[0], last[1], last[2], value)
        return None if found is None or _knows_its_target(subject, found, last[1], last[2]) else found
    batch = subject.inputs.batch
    if subject.loss is None or not isinstance(output, torch.Tensor) or not output.is_floating_point() or not output.dim():
        return None
    if batch != output.shape[0]:
        return None
    return Entering(output.detach(), subject.loss, value, None, by_hand=True, made_by=_nearest_weight(output))


def _run(subject: Subject, inputs: Inputs) -> tuple[Any, float | None, _Call | None]:
    """The output, the loss (None where it is no measure), and the call that made it."""
    with eager(), _Calls() as calls:
        output = call(subject.model, inputs, subject.seed)
        goal = objective(output, loss=subject.loss, batch=inputs.batch, seed=subject.seed)
    last = next((seen for seen in calls.seen if seen[3] is goal.roots[0]), None)
    return output, None if calls.unfit else goal.value, last


def _knows_its_target(subject: Subject, found: Entering, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """The target is an argument of forward, and the prediction moves with it."""
    target = args[1] if len(args) > 1 else kwargs.get("target")
    given = [leaf.tensor for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs)))]
    same = [one for one in given if isinstance(target, torch.Tensor) and one.shape == target.shape and one.equal(target)]
    if len(same) != 1 or not same[0].dim():
        return False
    inputs = changed(subject.inputs, lambda tensor: tensor.roll(1, 0) if tensor is same[0] else tensor)
    _, _, last = _run(subject, inputs)
    other = None if last is None else _of_call(last[0], last[1], last[2], 0.0)
    return other is not None and not other.prediction.equal(found.prediction)


def _nearest_weight(prediction: torch.Tensor) -> int:
    """id() of the parameter of two or more dimensions with the fewest operations between; 0 if there is none."""
    queue, seen = deque([prediction.grad_fn]), {prediction.grad_fn}
    while queue:
        node = queue.popleft()
        variable = getattr(node, "variable", None)
        if variable is not None and variable.dim() > 1:
            return id(variable)
        fresh = [following for following, _ in (node.next_functions if node else ()) if following not in seen]
        seen.update(fresh)
        queue.extend(fresh)
    return 0


def _of_call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: float) -> Entering | None:
    rest = {key: item for key, item in kwargs.items() if key != "input"}
    prediction = args[0] if args else kwargs.get("input")
    if not isinstance(prediction, torch.Tensor) or not prediction.dim():
        return None

    def loss(candidate: torch.Tensor) -> torch.Tensor:
        others = [_like(candidate, item) for item in args[1:]]
        found: torch.Tensor = function(candidate, *others, **{key: _like(candidate, item) for key, item in rest.items()})
        return found

    classes = min(prediction.dim() - 1, 1) if function in _BY_CLASS else None
    link: Callable[[torch.Tensor], torch.Tensor] | None = None
    if function is F.binary_cross_entropy:
        link = torch.sigmoid
    elif function is F.nll_loss:
        link = _log_probabilities
    return Entering(prediction.detach(), loss, value, classes, link, made_by=_nearest_weight(prediction))


def _like(candidate: torch.Tensor, item: Any) -> Any:
    """Targets and weights in the precision of the prediction."""
    return item.to(candidate.dtype) if isinstance(item, torch.Tensor) and item.is_floating_point() else item


def _log_probabilities(constant: torch.Tensor) -> torch.Tensor:
    return constant.log_softmax(0)


class _Calls(TorchFunctionMode):
    """The calls of torch's losses."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[_Call] = []
        self.unfit = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.unfit |= func in _UNFIT
        if func in _BY_CLASS or func in _BY_ENTRY:
            self.seen.append((func, args, kwargs or {}, out))
        return out
