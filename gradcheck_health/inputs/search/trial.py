"""One trial: draw the plan's values, run forward under the tracer in a sandbox, say how far it got and what would fix it."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from gradcheck_health.inputs.language.values import materialise
from gradcheck_health.inputs.observation.reach import reached
from gradcheck_health.inputs.observation.tracer import TooLargeError, Tracer
from gradcheck_health.inputs.plan import Edit, Path, Plan
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.wants.edits import Measure, propose
from gradcheck_health.model.call import eager
from gradcheck_health.model.distributed.groups import ranks_apart
from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.nest import tensors, walk
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.records.errors import ran_out_of_memory

ENTRIES = 5e8
"""What all results of one trial may hold together, 2 GB in float32; more where the first guess needed a quarter of it."""


@dataclass(slots=True)
class Outcome:
    """What one trial showed. No tensors: the graph is gone when the trial ends."""

    plan: Plan
    ok: bool
    coverage: int
    """Distinct call sites that ran."""
    error: BaseException | None = None
    place: str = ""
    """Where it failed: `encoder.reshape, model.py:412`."""
    edits: list[Edit] = field(default_factory=list)
    measures: dict[Any, Measure] = field(default_factory=dict)
    """Sizes that were got and wanted at the failing operation, for the solver."""
    flops: float = 0.0
    elements: int = 0
    work: float = 0.0
    """All that it cost: multiply-adds times two; an operation counts 3e5 besides, an entry of its result 50."""
    ranges: dict[Path, int] = field(default_factory=dict)
    reached: frozenset[str] = frozenset()
    """Names of the parameters that the outputs depend on."""
    differentiable: bool = False
    mixed: bool = False
    """It ran, but a view changed the size of the batch, something walked along it, or values were of no use to an operation."""
    losses: int = 0
    """Outputs that are one number with a gradient."""
    counted: tuple[Path, ...] = ()
    """Arguments of true and false that were taken for numbers."""
    grouped: tuple[Path, ...] = ()
    """Integer arguments that say which rows belong together."""
    blank: bool = False
    """Every entry of its outputs is zero."""
    branched: bool = False
    """Numbers were taken out of what it computed: on other values it may do something else."""


class TrialRunner:
    """Runs trials for one model and counts them."""

    def __init__(self, info: ModelInfo, seed: int) -> None:
        self.info, self.seed = info, seed
        self.trials = 0
        self.work = 0.0
        self.first = 0
        """Entries of all results of the first trial."""

    def run(self, plan: Plan) -> Outcome:
        """Forward once. Exceptions of the model are part of the outcome; KeyboardInterrupt and the like pass through."""
        info = self.info
        self.trials += 1
        with sandbox(info.model), _quiet():
            torch.manual_seed(self.seed)
            values = materialise(plan, self.seed, info.device, info.dtype)
            args, kwargs = info.signature.call(values)
            leaves = {tuple(step.key for step in steps): tensor for steps, tensor in walk(values, everything=True)}
            self.work += 300.0 * sum(tensor.numel() for tensor in leaves.values())
            tracer = Tracer(leaves, plan.size("B"), math.inf if self.trials == 1 else max(ENTRIES, 4 * self.first))
            try:
                with eager(), jointly("forward"), ranks_apart(info.model), tracer:
                    output = info.model(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever the model raises is what the trial shows
                outcome = self._failed(plan, tracer, error)
            else:
                outcome = self._empty(plan, tracer, output) or self._succeeded(plan, tracer, output)
        outcome.work = tracer.flops + tracer.calls * 3e5 + tracer.elements * 50.0
        self.work += outcome.work
        self.first = self.first or tracer.elements
        return outcome

    def _failed(self, plan: Plan, tracer: Tracer, error: Exception) -> Outcome:
        if isinstance(error, TooLargeError) or ran_out_of_memory(error):
            _drop_frames(error)
            return Outcome(plan, False, len(tracer.covered), error, edits=_smaller(plan))
        edits, measures, place = propose(plan, tracer, error, self.info)
        # the traceback keeps every tensor of the failed forward alive
        _drop_frames(error)
        return Outcome(plan, False, len(tracer.covered), error, place, edits, measures, tracer.flops, tracer.elements)

    def _empty(self, plan: Plan, tracer: Tracer, output: Any) -> Outcome | None:
        """It ran, and gave nothing from which a loss could come: a failure, at the slice that left nothing."""
        found = [tensor for tensor in tensors(output) if tensor.is_floating_point() or tensor.is_complex()]
        if not found or any(tensor.numel() for tensor in found):
            return None
        tracer.failure = tracer.emptied
        return self._failed(plan, tracer, ValueError("the output is empty") if tracer.emptied is None else tracer.emptied.error)

    def _succeeded(self, plan: Plan, tracer: Tracer, output: Any) -> Outcome:
        names, differentiable = reached(self.info.model, output)
        outcome = Outcome(plan, True, len(tracer.covered), flops=tracer.flops, elements=tracer.elements)
        outcome.reached, outcome.differentiable, outcome.ranges = names, differentiable, dict(tracer.ranges)
        outcome.losses = sum(tensor.dim() == 0 and tensor.requires_grad for tensor in tensors(output))
        outcome.grouped, outcome.counted = tuple(tracer.grouped), tuple(tracer.counted)
        outcome.branched = tracer.branched
        outcome.blank = not any(bool(tensor.any()) for tensor in tensors(output) if tensor.is_floating_point())
        if tracer.merges or tracer.across or tracer.outside or tracer.misaligned or tracer.crossings or tracer.products:
            outcome.mixed = True
            outcome.edits, outcome.measures, outcome.place = propose(plan, tracer, None, self.info)
        return outcome


def _smaller(plan: Plan) -> list[Edit]:
    """What runs may still be too much of it: fewer samples, or half as much of each."""
    used = {dim for _, leaf in plan.leaves() for dim in leaf.dims}
    half = {dim: plan.size(dim) // 2 for dim in "THWDL" if dim in used and plan.size(dim) >= _HALVED}
    smaller = [{"B": 2}] if "B" in used and plan.size("B") > 2 else []
    return [Edit(plan.resize(**sizes), cost, "it is less") for cost, sizes in enumerate([*smaller, half]) if sizes]


_HALVED = 8
"""An axis from which on half of it is still an axis of its kind."""


def _drop_frames(error: BaseException) -> None:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        current.__traceback__ = None
        current = current.__cause__ or current.__context__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Trials are scratch work: what the model prints and warns in them is not for the reader."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
