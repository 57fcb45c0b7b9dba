"""How far a loss on the last step reaches back in time: |dL/dx_t| for every step of a recurrence."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call, seed_everything
from gradcheck_health.model.names import layer_names
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.backward import slopes
from gradcheck_health.probe.experiments.paired_runs import changed, distance
from gradcheck_health.probe.experiments.subbatch import axis_of, on_few
from gradcheck_health.probe.objective import AUXILIARY
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.evidence import TimeProfile
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace

SAMPLES = 4
STEPS = 21
"""Shorter sequences are repeated to that length where they may be."""


def time_profile(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `times`: of every `nn.RNN`, `nn.LSTM` and `nn.GRU`, and of a recurrence that is written out.

    On a few samples: a horizon is that of the weights.
    """
    return on_few(partial(_profiles, trace=trace), subject, SAMPLES)


def _profiles(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    model = unwrap(subject.model)
    with sandbox(subject.model):
        found = list(_layers(subject, model))
    written = set(trace.repeats)
    if written:
        for stretch in (True, False):
            try:
                with sandbox(subject.model):
                    whole = _whole(subject, model, written, stretch)
            except (ModelError, RuntimeError):
                continue  # it takes sequences of its own length only
            found += [whole] if whole is not None else []
            break
    return (trace.only(times=tuple(found)),)


def _layers(subject: Subject, model: nn.Module) -> Iterator[TimeProfile]:
    """Each recurrent layer on the input that it gets in the model, with the loss on its last step."""
    taken: dict[nn.Module, torch.Tensor] = {}

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(module, nn.RNNBase) and module not in taken and args:
            x, first = args[0], module.batch_first
            x = pad_packed_sequence(x, batch_first=first)[0] if isinstance(x, PackedSequence) else x
            x = x.unsqueeze(0 if first else 1) if x.dim() == 2 else x
            taken[module] = x.detach().transpose(0, 1).clone() if first else x.detach().clone()

    handle = register_module_forward_hook(keep)
    try:
        call(subject.model, subject.inputs, subject.seed)
    finally:
        handle.remove()
    names = layer_names(model)
    for module, x in taken.items():
        assert isinstance(module, nn.RNNBase)
        long = _repeated(x, 0).requires_grad_()
        seed_everything(subject.seed)
        y = module(long.transpose(0, 1) if module.batch_first else long)[0]
        last = (y[:, -1] if module.batch_first else y[-1])[..., : module.proj_size or module.hidden_size]
        norms = _norms(last, [long], 0)
        name = names.get(id(module), "")
        stretched = x.shape[0] if x.shape[0] < STEPS else 0
        yield TimeProfile(name, type(module).__name__, norms, module.hidden_size, stretched)


def _whole(subject: Subject, model: nn.Module, uses: set[int], stretch: bool) -> TimeProfile | None:
    """The model's own input as the sequence: the axis that is as long as the weights are used often."""
    inputs = subject.inputs
    steps = _steps(inputs, uses)
    if steps is None:
        return None
    size, axis = steps
    if stretch and inputs.made_up and size < STEPS:
        inputs = changed(inputs, lambda tensor: _repeated(tensor, axis) if _is_time(tensor, axis, size) else tensor)
    long = STEPS if inputs is not subject.inputs else size
    with _watched(model, axis, long) as given, _Detached() as cuts:
        output = call(subject.model, inputs, subject.seed)
    found = [leaf for leaf in leaves(output) if leaf.differentiable and not AUXILIARY.search(leaf.path)]
    if not found or not given:
        return None
    last = _last(found[0].tensor, axis, long)
    norms = _norms(last, given, axis)
    cut = None
    if norms[-1] > 0.0 and not any(norms[:-1]) and _reaches(subject, inputs, last.detach(), (axis, long)):
        cut = cuts.line(long)
    return TimeProfile("", type(model).__name__, norms, 0, size if long != size else 0, cut)


class _Detached(TorchFunctionMode):
    """Counts the lines that detach a value with a graph."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        detaches = func.__name__ in ("detach", "detach_") or (
            func.__name__ == "__get__" and getattr(func.__self__, "__name__", "") == "data"
        )
        if detaches and isinstance(args[0], torch.Tensor) and args[0].requires_grad and (line := user_line()):
            self._lines[line] += 1
        return func(*args, **(kwargs or {}))

    def line(self, steps: int) -> str:
        """The one that runs once a step; the first state may have nothing to detach."""
        found = [line for line, count in self._lines.items() if count >= steps - 2]
        return found[0] if found else ""


def _reaches(subject: Subject, inputs: Inputs, last: torch.Tensor, steps: tuple[int, int]) -> bool:
    """The last output moves where the samples exchange their values at an earlier step."""
    axis, size = steps

    def exchange(tensor: torch.Tensor) -> torch.Tensor:
        if not _is_time(tensor, axis, size):
            return tensor
        other = tensor.clone()
        other.select(axis, size - 2).copy_(tensor.select(axis, size - 2).roll(1, 0))
        return other

    with torch.no_grad():
        again, moved = (call(subject.model, fed, subject.seed) for fed in (inputs, changed(inputs, exchange)))
    still, other = (_last(next(iter(leaves(output))).tensor.detach(), axis, size) for output in (again, moved))
    return distance(still, last) == 0.0 and distance(other, last) > 0.0


def _last(y: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    return y.select(axis, -1) if y.dim() > axis and y.shape[axis] == size else y


def _steps(inputs: Inputs, uses: set[int]) -> tuple[int, int] | None:
    """(size, axis) of the first axis behind the batch that some weight is used once, or a whole number of times, a step of.

    Otherwise of one that is longer than that: a state that is detached hides the earlier steps.
    """
    axes = []
    for leaf in leaves((inputs.args, dict(inputs.kwargs))):
        skip = axis_of(leaf.tensor, inputs.batch or 0)
        axes += [(size, axis) for axis, size in enumerate(leaf.tensor.shape) if axis != skip and size > 2]
    near = (found for found in axes if any(abs(count - found[0]) <= 1 or count % found[0] == 0 for count in uses))
    longer = (found for found in axes if found[0] > max(uses))
    return next(near, None) or next(longer, None)


def _is_time(tensor: torch.Tensor, axis: int, size: int) -> bool:
    return tensor.dim() > axis and tensor.shape[axis] == size


def _repeated(tensor: torch.Tensor, axis: int) -> torch.Tensor:
    size = tensor.shape[axis]
    return tensor if size >= STEPS else tensor.index_select(axis, torch.arange(STEPS, device=tensor.device) % size)


@contextlib.contextmanager
def _watched(model: nn.Module, axis: int, size: int) -> Iterator[list[torch.Tensor]]:
    """Collects the floating inputs of the model, or else the first embedding of its tokens, as they require grad."""
    given: list[torch.Tensor] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        for leaf in leaves((args, kwargs)) if not given else ():
            if leaf.tensor.is_floating_point() and _is_time(leaf.tensor, axis, size) and leaf.tensor.is_leaf:
                given.append(leaf.tensor.requires_grad_())

    def embedded(module: nn.Module, args: Any, output: Any) -> Any:
        if given or not isinstance(module, nn.Embedding) or not _is_time(output, axis, size):
            return None
        given.append(output if output.requires_grad else output.requires_grad_())
        return given[0]

    handles = (model.register_forward_pre_hook(enter, with_kwargs=True), register_module_forward_hook(embedded))
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()


def _norms(last: torch.Tensor, given: list[torch.Tensor], axis: int) -> tuple[float, ...]:
    """Norms of the gradient of a random projection, step by step."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(last.shape, generator=generator).to(last.device, last.dtype)
    gradients = slopes([last], given, [direction])
    steps = given[0].shape[axis]
    squares = torch.zeros(steps, dtype=torch.float64)
    for gradient in gradients:
        if gradient is not None:
            wide = gradient.detach().double().movedim(axis, 0).reshape(steps, -1)
            largest = float(wide.abs().max()) or 1.0
            squares = torch.hypot(squares, torch.linalg.vector_norm(wide / largest, dim=1).cpu() * largest)
    return tuple(squares.tolist())
