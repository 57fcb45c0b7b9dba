"""Does the output at a time step move when later steps of the input change? Forward passes in eval mode on two samples.

One pass is enough where nothing leaks: the two samples are one and the same up to the middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch

from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.experiments.first_difference import first_difference
from gradcheck_health.probe.experiments.paired_runs import (
    changed,
    distance,
    evaluated,
    nudged,
    outputs,
    outputs_in_sandbox,
    share,
)
from gradcheck_health.probe.experiments.subbatch import axis_of, chosen
from gradcheck_health.probe.forward.causal_attention import CausalSteps
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.influence import Influence
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

_Run = Callable[[Inputs], dict[str, torch.Tensor]]
SUSPICIOUS = 1e-4
LEAST = 4
"""Steps that a sequence must have."""


def future(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `influences`, of later steps on earlier outputs; `gaps` says why nothing could be judged.

    The time axis is one whose size an input and an output share; of several the first along which nothing leaks.
    """
    base = _small(subject, trace)
    try:
        with evaluated(subject):
            if _stays(subject, trace):
                return (trace.only(),)
            found = _leaks(subject, base, partial(outputs, subject))
        if found:  # a state that is carried from call to call is no leak: each on a model that has seen nothing
            found = _leaks(subject, base, partial(outputs_in_sandbox, subject))
        if found is None:
            return (trace.only(gaps=("no axis of an output follows the time steps of an input",)),)
        if not found:
            return (trace.only(),)
        influence, time = min(found, key=lambda pair: pair[0].share)  # features always move one another: that is no time
        return (trace.only(influences=(_explained(subject, base, outputs_in_sandbox(subject, base), influence, time),)),)
    except (ModelError, RuntimeError) as error:
        return (trace.only(gaps=(f"it does not run on two samples ({type(error.__cause__ or error).__name__})",)),)


def _stays(subject: Subject, trace: Trace) -> bool:
    """Along some axis of time, what is equal in two samples up to the middle comes out equal up to there.

    False where one pass does not tell: the steps lie in a tensor that all samples share, or no output has axes for both.
    """
    declared = subject.declared.batch_axis
    if (subject.inputs.batch or 0) < 2:
        return False
    base = chosen(subject.inputs, [0, 0, 1], declared)
    time = next(iter(_times(base, [output.shape for output in trace.outputs], declared)), None)
    tensors = [leaf.tensor for leaf in leaves((base.args, dict(base.kwargs)))]
    if time is None or any(time.axis(one) is not None and axis_of(one, 3, declared) is None for one in tensors):
        return False
    pair = replace(changed(base, partial(_parting, time, declared)), batch=2)
    timed = [y for y in outputs(subject, pair).values() if time.axis(y) is not None]
    return bool(timed) and all(y.shape[0] == 2 and _part_late(y, time) for y in timed)


def _parting(time: _Time, declared: int | None, tensor: torch.Tensor) -> torch.Tensor:
    """Of three samples the first, and the first up to the middle followed by the last."""
    samples, axis = axis_of(tensor, 3, declared), time.axis(tensor)
    if samples is None:
        return tensor
    first, last = tensor.narrow(samples, 0, 1), tensor.narrow(samples, 2, 1)
    if axis is None or axis == samples:
        return torch.cat([first, first], samples)
    early, late = first.narrow(axis, 0, time.cut), last.narrow(axis, time.cut, time.size - time.cut)
    return torch.cat([first, torch.cat([early, late], axis)], samples)


def _part_late(y: torch.Tensor, time: _Time) -> bool:
    earlier, later = _movements(y[:1], y[1:], time)
    return earlier == 0.0 < later


def _leaks(subject: Subject, base: Inputs, run: _Run) -> list[tuple[Influence, _Time]] | None:
    """What leaks along each axis that may be the time; none if one is clean, None if there is no such axis.

    Where nothing moves along the first of them, it may be the time all the same: that others leak says nothing then.
    """
    seen = run(base)
    found: list[tuple[Influence, _Time]] = []
    for time in _times(base, [y.shape for y in seen.values()], subject.declared.batch_axis, _steps(subject, base)):
        worst = _worst(run, base, seen, time)
        if worst is None:
            if not found:
                return None
        elif worst.share <= SUSPICIOUS:
            return []
        else:
            found.append((worst, time))
    return found or None


def _small(subject: Subject, trace: Trace) -> Inputs:
    """Two samples; three where an output lays samples out one after another, and two of them are as long as a sequence."""
    batch = subject.inputs.batch
    if batch is None or batch < 3:
        return subject.inputs
    lengths = {size for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs))) for size in leaf.tensor.shape}
    merged = {size // batch for output in trace.outputs for size in output.shape if size % batch == 0 and size > batch}
    count = next((n for n in (2, 3) if lengths.isdisjoint(n * each for each in merged)), 2)
    return chosen(subject.inputs, list(range(count)), subject.declared.batch_axis)


@dataclass(frozen=True)
class _Time:
    """An axis that may be the time: its size, and whether it is the first or the last one of that size."""

    size: int
    last: bool = False

    @property
    def cut(self) -> int:
        return self.size // 2

    def axis(self, tensor: torch.Tensor) -> int | None:
        """A batch of two is never as long as a sequence."""
        fits = [axis for axis, length in enumerate(tensor.shape) if length == self.size]
        return None if not fits else fits[-1 if self.last else 0]


def _steps(subject: Subject, base: Inputs) -> set[int]:
    """Over how many steps its attention looks at earlier ones only."""
    causal = CausalSteps()
    with evaluated(subject), causal:
        outputs(subject, base)
    return causal.seen


def _times(
    base: Inputs, returned: Iterable[tuple[int, ...]], declared: int | None, steps: set[int] | None = None
) -> list[_Time]:
    """Axes, apart from the batch, whose sizes inputs share with outputs; first axes first.

    Args:
        returned: the shapes of the outputs.
        steps: of causal attention: where an input has so many, that axis is the time, and no other.
    """
    given: dict[_Time, None] = {}
    for leaf in leaves((base.args, dict(base.kwargs))):
        skip = axis_of(leaf.tensor, base.batch or 0, declared)
        sizes = [size for axis, size in enumerate(leaf.tensor.shape) if axis != skip and size >= LEAST]
        given.update({_Time(size, last=size in sizes[:i]): None for i, size in enumerate(sizes)})
    sizes_returned = {size for shape in returned for size in shape}
    known = [time for time in given if steps and time.size in steps] or list(given)
    return [time for time in known if time.size in sizes_returned]


def _later(base: Inputs, time: _Time) -> Inputs:
    """Everything after the middle is another: that of the other sample, or turned round."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        axis = time.axis(tensor)
        if axis is None:
            return tensor
        samples = axis_of(tensor, base.batch or 0)
        other = tensor.flip(axis) if samples is None or samples == axis else tensor.roll(1, samples)
        if samples is None and tensor.is_floating_point():
            other = -other
        return torch.cat([tensor.narrow(axis, 0, time.cut), other.narrow(axis, time.cut, time.size - time.cut)], axis)

    return changed(base, change)


def _worst(run: _Run, base: Inputs, seen: dict[str, torch.Tensor], time: _Time) -> Influence | None:
    """Of the output leaves with that axis the one that moves most before the cut; None where none can be judged."""
    moved = run(_later(base, time))
    found = []
    # scores of every step against every other have two axes of time, and are no sequence beside one that is
    sequences = {path for path, y in seen.items() if sum(length == time.size for length in y.shape) == 1}
    for path, y in seen.items():
        if sequences and path not in sequences or time.axis(y) is None or path not in moved or moved[path].shape != y.shape:
            continue
        earlier, later = _movements(y, moved[path], time)
        if not math.isnan(earlier) and later > 0.0:
            found.append(Influence(path, f"the steps up to {time.cut} of {time.size}", share(earlier, later), 0.0))
    return max(found, key=lambda influence: influence.share, default=None)


def _movements(y: torch.Tensor, other: torch.Tensor, time: _Time) -> tuple[float, float]:
    """The largest movement of a step before the cut, and of one behind it."""
    axis = time.axis(y) or 0
    steps = [distance(y.select(axis, t), other.select(axis, t)) for t in range(time.size)]
    return max(steps[: time.cut]), max(steps[time.cut :])


def _explained(subject: Subject, base: Inputs, seen: dict[str, torch.Tensor], worst: Influence, time: _Time) -> Influence:
    near = _movements(seen[worst.output], nudged(subject, base, _later(base, time))[worst.output], time)
    smooth = share(*near) if near[1] > 0.0 else worst.share
    where = first_difference(subject, base, _later(base, time), partial(_earlier, time))
    kind = type(where.module).__name__ if where.module is not None else ""
    return Influence(worst.output, worst.kept, worst.share, smooth, where.layer, kind, where.op, where.source)


def _earlier(time: _Time, tensor: torch.Tensor) -> torch.Tensor | None:
    """The steps before the cut; scores of every step against every other have two such axes, and tell nothing."""
    axis = time.axis(tensor)
    if axis is None or sum(length == time.size for length in tensor.shape) != 1:
        return None
    return tensor.narrow(axis, 0, time.cut)
