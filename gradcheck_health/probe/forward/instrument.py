"""Who computed what, where: global module hooks, tensor hooks and one function mode watch a forward and a backward pass.

Scalars are taken on the spot and tensors are never kept (an in-place ReLU would rewrite them). Nothing is hung on the
model: the module hooks are torch's global ones, and the tensor hooks die with the graph.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.nest import leaves
from gradcheck_health.model.tree import is_wrapper
from gradcheck_health.model.wrappers import own_class
from gradcheck_health.probe.forward.causal_attention import Attention
from gradcheck_health.probe.forward.dataflow import Dataflow
from gradcheck_health.probe.forward.fragile import FRAGILE, fragile
from gradcheck_health.probe.forward.functions import WATCHED, Functions
from gradcheck_health.probe.forward.losses import JOINS, Losses
from gradcheck_health.probe.forward.writes import Writes
from gradcheck_health.probe.loss_arguments import LOSSES
from gradcheck_health.probe.samples.tracker import Samples
from gradcheck_health.probe.statistics.tensor_stats import Gather
from gradcheck_health.records.finding import LOSS


@dataclass(slots=True)
class Seen:
    """What was seen of one module."""

    kind: str
    order: int
    calls: int = 0
    outputs: list[int] = field(default_factory=list)
    """Indices into `Gather`."""
    tensors: list[int] = field(default_factory=list)
    """Indices of the tensors, whose gradients `Instrument.gradients` knows."""


class Instrument(TorchFunctionMode):
    """Watches one forward (inside `forward()`) and one backward pass (inside `backward()`)."""

    def __init__(
        self,
        names: Mapping[int, str],
        gather: Gather,
        dataflow: Dataflow | None = None,
        writes: Writes | None = None,
        proofs: Sequence[Samples] = (),
    ) -> None:
        super().__init__()
        self.proofs = proofs
        self.writes = writes
        self.gather = gather
        self.dataflow = dataflow
        self.layers: dict[str, Seen] = {}
        self.operations: dict[Any, tuple[str, str]] = {}
        """Autograd node -> (layer, function that made it)."""
        self.functions = Functions(self.operations)
        self.homes: dict[Any, str] = {}
        """Autograd node -> layer whose output it made: also custom Functions, which the function mode does not see."""
        self.gradients: dict[int, list[int]] = {}
        """Tensor index -> indices into `Gather` of the gradients that came back to it."""
        self.tensor_of: dict[tuple[Any, int], tuple[int, int]] = {}
        """(autograd node, output number) -> (tensor index, index into `Gather`) of a module output."""
        self.attention = Attention()
        self.losses = Losses()
        self.fragile: dict[str, None] = {}
        """Operations of the model without a finite derivative somewhere."""
        self.gaps = self.functions.gaps
        self.outside = ""
        """To what belongs what runs in no module: the model itself, or the loss."""
        self._names = names
        self._stack: list[str] = []
        self._current = ""
        self._phase = ""
        self._thread = threading.get_ident()
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], int, int, int]] = {}

    @contextlib.contextmanager
    def forward(self) -> Iterator[None]:
        enter = register_module_forward_pre_hook(self._enter)
        leave = register_module_forward_hook(self._leave, always_call=True)
        self._phase = "forward"
        try:
            with self:
                yield
        finally:
            self._phase = ""
            enter.remove()
            leave.remove()

    @contextlib.contextmanager
    def backward(self) -> Iterator[None]:
        self._phase = "backward"
        try:
            yield
        finally:
            self._phase = ""

    def forget(self) -> None:
        """Let go of the graph: its hooks lead back here, and only a garbage collection would free what it saved."""
        self.operations.clear()
        self.homes.clear()
        self.tensor_of.clear()

    @property
    def layer(self) -> str:
        """Path of the module that is running."""
        return self._stack[-1] if self._stack else self.outside

    def _watching(self) -> bool:
        if self._phase != "forward":
            return False  # checkpointing runs forward again during backward
        if threading.get_ident() != self._thread:
            self.gaps["a part of forward that runs in another thread"] = None
            return False
        return True

    def _enter(self, module: nn.Module, args: Any) -> None:
        if is_wrapper(module) or not self._watching():
            return
        name = self._names.get(id(module))
        if name is None:
            name = LOSS if self.outside else f"{self.layer}.({own_class(module).__name__})".lstrip(".")
        seen = self.layers.get(name)
        if seen is None:
            seen = self.layers[name] = Seen(own_class(module).__name__, len(self.layers))
        seen.calls += 1
        self._stack.append(name)
        if isinstance(module, torch.jit.ScriptModule):
            self.gaps[f"the inside of the ScriptModule {name or type(module).__name__}"] = None

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if is_wrapper(module) or not self._watching() or not self._stack:
            return
        self._current = self._stack.pop()
        seen = self.layers[self._current]
        with torch._C.DisableTorchFunction():
            for tensor in (output,) if isinstance(output, torch.Tensor) else [leaf.tensor for leaf in leaves(output)]:
                if tensor.is_floating_point() or (tensor.is_complex() and tensor.requires_grad):
                    self._output(seen, tensor)

    def _output(self, seen: Seen, tensor: torch.Tensor) -> None:
        # Three tables, because a tensor is met in three ways. `_known` finds one that was measured before by its id; ids
        # are reused and tensors written into, so a weak reference and the version have to agree. `homes` gives the layer of
        # a node of the autograd graph, for the walk over it; `tensor_of` the index of a node's output, where its gradient
        # is noted.
        known = self._known.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == _version(tensor):
            seen.outputs.append(known[2])  # a container hands on what its last child returned: measured once
            seen.tensors.append(known[3])
            return
        if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            self.gaps[f"a torch.func transform (vmap, grad) in {self.layer or 'the model'}"] = None
            return
        measured = self.gather.add(tensor)
        if measured is None:
            return
        index = len(self.gradients)
        self.gradients[index] = []
        self._known[id(tensor)] = (weakref.ref(tensor), _version(tensor), measured, index)
        seen.outputs.append(measured)
        seen.tensors.append(index)
        node = tensor.grad_fn
        if node is not None:
            self.homes.setdefault(node, self._current)
            self.tensor_of[node, tensor.output_nr] = (index, measured)
            tensor.register_hook(lambda gradient, index=index: self._gradient(index, gradient))  # type: ignore[no-untyped-call]

    def _gradient(self, index: int, gradient: torch.Tensor) -> None:
        if self._phase == "backward" and gradient is not None:  # a PINN differentiates inside forward
            with torch._C.DisableTorchFunction():
                measured = self.gather.add(gradient)
            if measured is not None:
                self.gradients[index].append(measured)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (func.__name__ == "__get__" and self.dataflow is None) or not self._watching():
            out = func(*args, **kwargs)
            if self.writes is not None and func.__name__ == "__get__":
                self.writes.shares(func, args, out)
            return out
        layer = self.layer
        pending = None if self.writes is None else self.writes.before(func, args, layer)
        watched = func in WATCHED
        given = None
        if watched:
            given = self.functions.given(func, args, kwargs)
            self.attention.observe(func, args, kwargs, layer)
        if func in LOSSES or func.__name__ in JOINS:
            self.losses.observe(func, args, kwargs, layer)  # before the call: a target out of range makes it raise
        if func.__name__ in FRAGILE and layer != LOSS and (name := fragile(func, args)):
            self.fragile[name] = None
        out = func(*args, **kwargs)
        for proof in self.proofs:
            if proof.proving:
                proof.follow(func, args, kwargs, out)
        if self.dataflow is not None:
            self.dataflow.observe(func, args, kwargs, out, layer)
        if self.writes is not None:
            if pending is not None:
                self.writes.after(pending, layer)
            elif func.__name__ in ("detach", "__get__"):
                self.writes.shares(func, args, out)
        first = out[0] if isinstance(out, tuple | list) and out else out
        if isinstance(first, torch.Tensor):
            if first.grad_fn is not None:
                self.operations[first.grad_fn] = (layer, func.__name__)
            if watched:
                self.functions.observe(func, args, kwargs, first, layer, given)
        return out


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
