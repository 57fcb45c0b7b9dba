"""Which operation of a forward pass moves a part of it first, when the rest of the inputs changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from gradcheck_health.model.call import call, running_modules
from gradcheck_health.model.names import layer_names
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.paired_runs import distance, evaluated
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.inputs import Inputs

Part = Callable[[torch.Tensor], "torch.Tensor | None"]
"""The part of a tensor inside the network that belongs to what was kept; None where that is unknown."""
_LARGE = 1 << 20
"""Entries above which a result without a kept part is not remembered."""


@dataclass
class _Step:
    layer: str
    op: str
    source: str | None
    kept: torch.Tensor | None
    """The part that belongs to what was kept; None where it is unknown."""
    whole: torch.Tensor | None
    """All of a result in which no such part is known."""
    takes: tuple[int, ...]
    """The steps whose results it takes."""


class _Recorder(TorchFunctionMode):
    """What each operation of a forward pass returns."""

    def __init__(self, running: Sequence[str], part: Part) -> None:
        super().__init__()
        self.steps: list[_Step] = []
        self._running, self._part = running, part
        self._made: WeakIdKeyDictionary = WeakIdKeyDictionary()
        """Tensor -> the step that made it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        takes = tuple(self._made[one] for one in _tensors((args, kwargs or {})) if one in self._made)
        out = func(*args, **(kwargs or {}))
        if func.__name__ in ("__get__", "__set__"):
            if isinstance(out, torch.Tensor) and takes:
                self._made[out] = takes[0]
            return out
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.layout == torch.strided:
                with torch._C.DisableTorchFunction():
                    part = self._part(tensor.detach())
                    whole = None if part is not None or tensor.numel() > _LARGE else tensor.detach().clone()
                    kept = None if part is None else part.clone()
                self._made[tensor] = len(self.steps)
                self.steps.append(_Step(self._running[-1], func.__name__, user_line(), kept, whole, takes))
        return out


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    return (leaf.tensor for leaf in leaves(value))


@dataclass(frozen=True)
class FirstDifference:
    """The first operation that moves what was kept."""

    layer: str = ""
    op: str = ""
    source: str | None = None
    module: nn.Module | None = None
    reduces: int = 0
    """Entries of its result, where it takes what was kept and all others together into one."""


def first_difference(
    subject: Subject, base: Inputs, variant: Inputs, part: Part, *, statistics: bool = False
) -> FirstDifference:
    """Where the kept part moves first; an empty origin where no operation shows it.

    Args:
        statistics: what joins the kept part with a statistic over all is no more than a messenger: that one is the origin.
    """
    first, second = (_recorded(subject, inputs, part) for inputs in (base, variant))
    moved: list[bool] = []
    for a, b in zip(first, second, strict=False):
        if (a.layer, a.op) != (b.layer, b.op) or _apart(a.kept, b.kept) is None or _apart(a.whole, b.whole) is None:
            break
        moved.append(bool(_apart(a.kept, b.kept) or _apart(a.whole, b.whole)))
        if _apart(a.kept, b.kept):
            step, reduces = _cause(first, moved, len(moved) - 1) if statistics else (a, 0)
            return FirstDifference(step.layer, step.op, step.source, _module(subject, step.layer), reduces)
    return FirstDifference()


def _apart(a: torch.Tensor | None, b: torch.Tensor | None) -> float | None:
    """Distance; None where the two cannot be compared."""
    if a is None or b is None:
        return 0.0 if a is b else None
    if a.shape != b.shape:
        return None
    # what a mask has made infinite does not move, nor does a tensor without entries
    return distance(a.nan_to_num(0.0, 0.0, 0.0), b.nan_to_num(0.0, 0.0, 0.0)) if a.numel() else 0.0


def _cause(steps: Sequence[_Step], moved: Sequence[bool], index: int) -> tuple[_Step, int]:
    """The step behind which nothing that moved and is without a kept part lies, and the entries of such a one."""
    reduces = 0
    while True:
        behind = [i for i in steps[index].takes if i < len(moved) and moved[i] and steps[i].kept is None]
        if not behind:
            return steps[index], reduces
        index = behind[0]
        whole = steps[index].whole
        reduces = 0 if whole is None else whole.numel()


def _module(subject: Subject, layer: str) -> nn.Module | None:
    model = unwrap(subject.model)
    names = layer_names(model)
    return next((module for module in model.modules() if names[id(module)] == layer), None)


def _recorded(subject: Subject, inputs: Inputs, part: Part) -> list[_Step]:
    with evaluated(subject), running_modules(subject.model) as running:
        recorder = _Recorder(running, part)
        with recorder:
            call(subject.model, inputs, subject.seed)
    return recorder.steps
