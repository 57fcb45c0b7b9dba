"""A few steps of training on one batch: does the loss come down further under a cure than without it?

The loss alone is no verdict: on one batch a head fits almost anything. Between runs of the same length it is a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.objective import own_loss
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.remedies import Clipping, ShortRun

RATES = {"adam": 3e-3, "sgd": 0.05}
_FEATURES = 24
"""Hidden units of the teacher."""
Clip = Callable[[list[nn.Parameter], float], "Touched"]
"""(parameters with a gradient, learning rate) -> what it did to their gradients."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a clip did in one step."""

    share: float
    """Of the entries of all gradients that it made smaller."""
    threshold: float


def short_run(
    subject: Subject, steps: int, optimizer: str = "adam", clip: Clip | None = None, weight_decay: float = 0.0
) -> ShortRun | None:
    """Train the model as it is. Call it inside a sandbox; None where there is nothing to come down, or the model raises.

    Args:
        optimizer: "adam" or "sgd".
        weight_decay: decoupled, as in AdamW.
    """
    goal = _goal(subject)
    parameters = [p for p in subject.model.parameters() if p.requires_grad and not is_lazy(p)]
    if goal is None or not parameters:
        return None
    lr = RATES[optimizer]
    chosen = torch.optim.AdamW if optimizer == "adam" else torch.optim.SGD
    taking = chosen(parameters, lr=lr, weight_decay=weight_decay)
    losses: list[float] = []
    touched: list[Touched] = []
    moved: list[float] = []
    with eager():
        for step in range(steps + 1):
            taking.zero_grad()
            loss = goal.loss(call(subject.model, subject.inputs, subject.seed))
            losses.append(float(loss.detach()))
            if step == steps or not math.isfinite(losses[-1]):
                break
            loss.backward()  # type: ignore[no-untyped-call]
            having = [p for p in parameters if p.grad is not None]
            if clip is not None:
                touched.append(clip(having, lr))
            moved.append(_update(taking, having))
    last = losses[-1] if math.isfinite(losses[-1]) else math.inf
    return ShortRun(
        len(losses) - 1, optimizer, lr, goal.towards, losses[0], last, goal.constant, weight_decay, _clipping(touched, moved)
    )


def _update(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> float:
    """Take the step; how far it moves the weights, over their size."""
    before = [p.detach().clone() for p in parameters]
    optimizer.step()
    size = math.sqrt(sum(float(p.square().sum()) for p in before))
    moved = math.sqrt(sum(float((p.detach() - b).square().sum()) for p, b in zip(parameters, before, strict=True)))
    return moved / size if size else 0.0


def _clipping(touched: list[Touched], moved: list[float]) -> Clipping | None:
    if not touched:
        return None
    steps = sum(one.share > 0 for one in touched) / len(touched)
    elements = sum(one.share for one in touched) / len(touched)
    return Clipping(touched[-1].threshold, steps, elements, sorted(moved)[len(moved) // 2])


@dataclass(frozen=True, slots=True)
class _Goal:
    loss: Callable[[Any], torch.Tensor]
    towards: str
    constant: float | None = None


def _goal(subject: Subject) -> _Goal | None:
    """The loss that was given, that of the model, or the distance from a teacher."""
    if subject.loss is not None:
        return _Goal(subject.loss, "the given loss")
    output = call(subject.model, subject.inputs, subject.seed)
    found = [leaf for leaf in leaves(output) if leaf.differentiable and leaf.tensor.is_floating_point()]
    if not found:
        return None
    if (own := own_loss(found)) is not None:
        return _Goal(lambda out: _leaf(out, own.path), "the model's own loss")
    main = max(found, key=lambda leaf: leaf.tensor.numel())
    targets = teacher(subject, tuple(main.tensor.shape))
    if targets is None:
        return None
    targets = targets.to(main.tensor.device)

    def loss(out: Any) -> torch.Tensor:
        return (_leaf(out, main.path).float() - targets).square().mean()

    return _Goal(loss, "a smooth teacher", float((targets - targets.mean(0)).square().mean()))


def _leaf(output: Any, path: str) -> torch.Tensor:
    return next(leaf.tensor for leaf in leaves(output) if leaf.path == path)


def teacher(subject: Subject, shape: tuple[int, ...]) -> torch.Tensor | None:
    """Targets that depend smoothly on the input: a random net of one hidden layer, of variance one over the samples."""
    batch = subject.inputs.batch
    if batch is None or batch < 2 or not shape or shape[0] != batch:
        return None
    given = [leaf.tensor for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs)))]
    rows = [
        x.detach().float().cpu().reshape(batch, -1) for x in given if x.dim() and x.shape[0] == batch and not x.is_complex()
    ]
    if not rows:
        return None
    x = torch.cat(rows, 1)
    x = torch.nan_to_num((x - x.mean(0)) / (x.std(0) + 1e-6))
    generator = torch.Generator().manual_seed(subject.seed)
    enter = torch.randn(x.shape[1], _FEATURES, generator=generator) / math.sqrt(x.shape[1])
    leave = torch.randn(_FEATURES, math.prod(shape[1:]), generator=generator) / math.sqrt(_FEATURES)
    y = torch.tanh(x @ enter) @ leave
    y = (y - y.mean(0)) / (y.std(0) + 1e-6)
    return y.reshape(shape)
