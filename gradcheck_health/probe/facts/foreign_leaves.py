"""Which leaves of the graph should have been parameters: those that live on between two calls, or that forward makes itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.names import layer_names, named_parameters, registered
from gradcheck_health.model.nest import leaves, operand_tensors
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.source.assignments import Assignments
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.forward_graph import forward_graph
from gradcheck_health.probe.experiments.subbatch import on_few
from gradcheck_health.probe.experiments.tensor_paths import TensorPath, homes, products
from gradcheck_health.probe.forward.instrument import Instrument
from gradcheck_health.probe.graph import graph as graphs
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.evidence import ForeignLeaf
from gradcheck_health.records.trace import Trace


def foreign_leaves(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One sparse trace with `foreign` filled in, from three forward passes on the same batch and seed.

    Where every parameter has a gradient, two bare ones of one sample come first: leaves that are new in each and no
    `nn.Parameter`, as inputs that forward asks the gradient of, are no suspects.

    A leaf that is the same object in two passes is kept somewhere: it is trainable, and no optimizer will be given it. One that
    is new in each pass counts if it is an `nn.Parameter`, or if its values change with parameters that have no gradient. What
    forward itself differentiates by (a PINN, a gradient penalty, an attack), and what has the shape of an input, is data; so
    is a buffer of which forward itself asks for the gradient.
    """
    model = unwrap(subject.model)
    lost = {name for name, p in trace.parameters.items() if p.trainable and p.gradient is None}
    if not lost and not on_few(_suspects, subject, 1):
        return (trace.only(),)
    with sandbox(subject.model):
        first, second = _Pass(subject), _Pass(subject)
        kept = [leaf for leaf in second.leaves if _among(leaf, first.leaves) and not second.like_data(leaf)]
        asked = _asked_by_forward(subject, [buffer for buffer in model.buffers() if _among(buffer, kept)])
        kept = [leaf for leaf in kept if not _among(leaf, asked)]
        found = [_kept(leaf, second) for leaf in sorted(kept, key=second.rank)]
        new = [leaf for leaf in second.leaves if not _among(leaf, first.leaves) and second.has_seen(leaf)]
        made = [leaf for leaf in new if isinstance(leaf, nn.Parameter)]
        derived: list[torch.Tensor] = []
        if lost and new:
            before = [leaf.detach().clone() for leaf in new]
            _move(model, lost)
            third = [leaf for leaf in _Pass(subject).leaves if not _among(leaf, first.leaves)]
            if len(third) == len(new):
                derived = [new[k] for k in range(len(new)) if not _same(before[k], third[k])]
        for leaf in new:
            if _among(leaf, made) or _among(leaf, derived):
                behind = tuple(sorted(lost)) if _among(leaf, derived) else ()
                found.append(dataclasses.replace(_made(leaf, second), behind=behind))
    return (trace.only(foreign=tuple(found)),)


def _suspects(subject: Subject) -> bool:
    """Some leaf that is no parameter is the same in two passes, or an `nn.Parameter`."""
    known = registered(unwrap(subject.model))
    seen: list[list[torch.Tensor]] = []
    with sandbox(subject.model):
        for _ in range(2):
            graph = forward_graph(subject)
            variables = [] if graph is None else graph.variables()
            seen.append([leaf for leaf in variables if id(leaf) not in known])
    return any(isinstance(leaf, nn.Parameter) or _among(leaf, seen[0]) for leaf in seen[1])


class _Pass(TorchFunctionMode):
    """One forward pass, and the leaves at the bottom of its graph that are neither parameters nor data."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.model = model = unwrap(subject.model)
        self._lines: dict[int, tuple[str, str | None]] = {}
        self._data: set[int] = set()
        self._backward = False
        self._alive: list[torch.Tensor] = []
        self._watch = Instrument(layer_names(model), Gather())
        with eager(), self._watch.forward():
            with self:
                output = call(subject.model, subject.inputs, subject.seed)
            goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
        self._shapes = {leaf.tensor.shape for leaf in leaves((subject.inputs.args, dict(subject.inputs.kwargs)))}
        graph = graphs.walk([root.grad_fn for root in goal.roots if root.grad_fn is not None])
        known = registered(model) | self._data
        variables = [] if graph is None else graph.variables()
        self.leaves: list[torch.Tensor] = [leaf for leaf in variables if id(leaf) not in known]
        if self._backward:  # forward calls backward() itself: what got a gradient there is data
            self.leaves = [leaf for leaf in self.leaves if leaf.grad is None]
        self.homes: Mapping[int, TensorPath] = homes(model) if self.leaves else {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func is torch.autograd.grad:
            self._data |= {id(leaf.tensor) for leaf in leaves(args[1] if len(args) > 1 else kwargs.get("inputs"))}
        self._backward |= func in (torch.autograd.backward, torch.Tensor.backward)
        for tensor in operand_tensors((args, out)):
            if tensor.requires_grad and tensor.is_leaf and id(tensor) not in self._lines:
                self._lines[id(tensor)] = (self._watch.layer, user_line())
                self._alive.append(tensor)  # its id must not be taken by another
        return out

    def has_seen(self, leaf: torch.Tensor) -> bool:
        """Forward took it, and not the loss alone: what the loss makes again is a cut there."""
        return id(leaf) in self._lines

    def like_data(self, leaf: torch.Tensor) -> bool:
        """A plain tensor of the shape of an input: a perturbation that is kept from step to step."""
        return leaf.shape in self._shapes and not isinstance(leaf, nn.Parameter)

    def rank(self, leaf: torch.Tensor) -> int:
        """Where it stands among the attributes."""
        return next((rank for rank, key in enumerate(self.homes) if key == id(leaf)), len(self.homes))

    def line(self, leaf: torch.Tensor) -> tuple[str, str | None]:
        """The layer and the line that first took it."""
        return self._lines.get(id(leaf), ("", None))


def _asked_by_forward(subject: Subject, buffers: list[torch.Tensor]) -> list[torch.Tensor]:
    """Buffers that want a gradient only because forward asks for it in every pass: a sum of losses that begins at zero."""
    if not buffers:
        return []
    for buffer in buffers:
        buffer.requires_grad_(False)
    _Pass(subject)
    return [buffer for buffer in buffers if buffer.requires_grad]


def _among(leaf: torch.Tensor, others: Iterable[torch.Tensor]) -> bool:
    return any(leaf is other for other in others)


def _kept(leaf: torch.Tensor, seen: _Pass) -> ForeignLeaf:
    layer, source = seen.line(leaf)
    home = seen.homes.get(id(leaf))
    if home is None and (home := products(seen.model).get(id(leaf))) is not None:
        source = Assignments(seen.model)(home.name) or source
    home = home or TensorPath(layer, type(leaf).__name__, "global")
    return ForeignLeaf(home.name, home.owner, tuple(leaf.shape), home.held, source)


def _made(leaf: torch.Tensor, seen: _Pass) -> ForeignLeaf:
    layer, source = seen.line(leaf)
    return ForeignLeaf(layer, type(leaf).__name__, tuple(leaf.shape), "forward", source)


def _move(model: nn.Module, names: set[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for entry in named_parameters(model):
            if entry.name in names and entry.tensor.is_floating_point():
                noise = torch.randn(entry.tensor.shape, generator=generator).to(entry.tensor)
                entry.tensor.mul_(1.1).add_(noise, alpha=0.1)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.nan_to_num(7.0), b.detach().nan_to_num(7.0))
