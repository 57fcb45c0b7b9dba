"""Values that an operation takes and makes nothing of: a log of negative numbers, targets that fit no alignment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from gradcheck_health.inputs.observation.ctc import CtcLoss
from gradcheck_health.inputs.observation.tracer import Tracer
from gradcheck_health.inputs.plan import Leaf, Path, Plan
from gradcheck_health.inputs.wants.want import Want

_LONGEST = 5
"""Symbols of a made-up target sequence."""


def value_wants(tracer: Tracer, plan: Plan) -> Iterator[Want]:
    """Other values for the arguments that were fed outside of an operation's domain, and lengths that an alignment needs."""
    for tensor, name in tracer.outside:
        yield Want("fill", tensor, value="uniform", why=f"{name} of positive numbers", cost=0.5)
    failure = tracer.failure
    failed = CtcLoss.of(failure.args, failure.kwargs) if failure is not None and failure.name == "ctc_loss" else None
    if (alignment := failed or tracer.misaligned) is not None:
        yield from _fitting(alignment, tracer, plan)


def _fitting(alignment: CtcLoss, tracer: Tracer, plan: Plan) -> Iterator[Want]:
    """Targets without the blank, at most half as long as there are steps, and lengths within both."""
    scores, steps, blank = alignment.scores, alignment.steps, alignment.blank
    if not isinstance(scores, torch.Tensor) or scores.dim() < 2:
        return
    time, classes = scores.shape[0], scores.shape[-1]
    longest = max(1, min(_LONGEST, (time - 1) // 2))
    changed = plan
    if (path := _path(alignment.targets, tracer, plan)) is not None:
        low, high = (1, classes) if blank == 0 else (0, blank)
        changed = changed.put(path, Leaf(("B", longest), "int", low=low, high=high, why="ctc_loss"))
    if (path := _path(steps, tracer, plan)) is not None:
        leaf = plan.get(path)
        drawn = plan.size(leaf.high) if isinstance(leaf, Leaf) and leaf.high is not None else time
        # the model may have made them shorter, as it made the signal
        high = max(1, drawn * time // max(int(steps.max()), 1)) if isinstance(steps, torch.Tensor) and steps.numel() else time
        changed = changed.put(path, Leaf(("B",), "int", "full", high=high, why="ctc_loss"))
    if (path := _path(alignment.lengths, tracer, plan)) is not None:
        changed = changed.put(path, Leaf(("B",), "int", "lengths", high=longest, why="ctc_loss"))
    if changed is not plan:
        yield Want("edit", why="targets that fit the steps", cost=0.5, edit=lambda _: [changed])


def _path(value: Any, tracer: Tracer, plan: Plan) -> Path | None:
    origin = tracer.origin(value)
    if origin is None or len(origin.paths) != 1:
        return None
    (path,) = origin.paths
    leaf = plan.get(path)
    return path if isinstance(leaf, Leaf) and not leaf.fixed else None
