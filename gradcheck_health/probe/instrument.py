"""Who computed what, where: global module hooks, tensor hooks and one function mode watch a forward and a backward pass.

Scalars are taken on the spot and tensors are never kept (an in-place ReLU would rewrite them). Nothing is hung on the
model: the module hooks are torch's global ones, and the tensor hooks die with the graph.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

<<<<<<< HEAD
=======
from gradcheck_health.probe import activations, norms
from gradcheck_health.probe.activations import FUNCTIONS, SOFTMAX, Rows, Units
from gradcheck_health.probe.attending import ATTENTION, probabilities
>>>>>>> 26e12c0 (Name gradients that are zero by algebra, saturated fused attention, copies, layers passed by; 118 models written from fault catalogues and papers)
from gradcheck_health.probe.causality import Attention
from gradcheck_health.probe.functions import Functions
from gradcheck_health.probe.objective import leaves
from gradcheck_health.probe.provenance import Provenance
from gradcheck_health.probe.statistics import Gather


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

    def __init__(self, names: Mapping[int, str], gather: Gather, provenance: Provenance | None = None) -> None:
        super().__init__()
        self.gather = gather
        self.provenance = provenance
        self.layers: dict[str, Seen] = {}
        self.functions = Functions()
        self.operations = self.functions.operations
        self.homes: dict[Any, str] = {}
        """Autograd node -> layer whose output it made: also custom Functions, which the function mode does not see."""
        self.gradients: dict[int, list[int]] = {}
        """Tensor index -> indices into `Gather` of the gradients that came back to it."""
        self.tensor_of: dict[tuple[Any, int], tuple[int, int]] = {}
        """(autograd node, output number) -> (tensor index, index into `Gather`) of a module output."""
<<<<<<< HEAD
=======
        self.units: dict[tuple[Any, ...], Units] = {}
        """By layer, function, producer, number of units and call site."""
        self.rows: dict[tuple[str, str, str], Rows] = {}
        """By (layer, producer, function) of a softmax, or of a normalisation over single values."""
>>>>>>> 26e12c0 (Name gradients that are zero by algebra, saturated fused attention, copies, layers passed by; 118 models written from fault catalogues and papers)
        self.attention = Attention()
        self.gaps = self.functions.gaps
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
        return self._stack[-1] if self._stack else ""

    def _watching(self) -> bool:
        if self._phase != "forward":
            return False  # checkpointing runs forward again during backward
        if threading.get_ident() != self._thread:
            self.gaps["a part of forward that runs in another thread"] = None
            return False
        return True

    def _enter(self, module: nn.Module, args: Any) -> None:
        if not self._watching():
            return
        name = self._names.get(id(module))
        if name is None:
            name = f"{self.layer}.({type(module).__name__})".lstrip(".")
        seen = self.layers.get(name)
        if seen is None:
            seen = self.layers[name] = Seen(type(module).__name__, len(self.layers))
        seen.calls += 1
        self._stack.append(name)
        if isinstance(module, torch.jit.ScriptModule):
            self.gaps[f"the inside of the ScriptModule {name or type(module).__name__}"] = None

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if not self._watching() or not self._stack:
            return
        self._current = self._stack.pop()
        seen = self.layers[self._current]
        with torch._C.DisableTorchFunction():
            for leaf in leaves(output):
                if leaf.differentiable or leaf.tensor.is_floating_point():
                    self._output(seen, leaf.tensor)

    def _output(self, seen: Seen, tensor: torch.Tensor) -> None:
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
        if (func.__name__ == "__get__" and self.provenance is None) or not self._watching():
            return func(*args, **kwargs)
        layer = self.layer
        given = self.functions.given(func, args, kwargs)
        self.attention.saw(func, args, kwargs, layer)
        out = func(*args, **kwargs)
        if self.provenance is not None:
            self.provenance.saw(func, args, kwargs, out, layer)
        first = out[0] if isinstance(out, tuple | list) and out else out
        if isinstance(first, torch.Tensor):
<<<<<<< HEAD
            self.functions.saw(func, args, kwargs, first, layer, given)
        return out

=======
            if first.grad_fn is not None:
                self.operations[first.grad_fn] = (self.layer, func.__name__)
            if watched and not _plain(first):
                self.gaps[f"the units of {func.__name__} in {self.layer or 'the model'}, on a tensor of an unusual kind"] = None
            elif function or relu:
                self._activation(function or FUNCTIONS[torch.relu], first, before, maker, args, kwargs)
            elif func in SOFTMAX:
                self._softmax(first, maker, args, kwargs)
            elif func in ATTENTION:
                self._attention(func, first, args, kwargs)
            elif func is torch.nn.functional.batch_norm:
                self._batch_norm(first, args, kwargs)
            elif norms.entries(func, args, kwargs) == 1 and first.numel():
                self._rows(None, func.__name__).alone(first.numel())
        return out

    def _activation(
        self, function: activations.Function, out: torch.Tensor, before: torch.Tensor | None, maker: Any, args: Any, kwargs: Any
    ) -> None:
        values = out.detach()
        bounds = function.bounds(args, kwargs)
        if bounds is None or values.numel() == 0 or values.dim() == 0 or not values.is_floating_point() or values.is_meta:
            return
        producer, made_by = self._producer(maker)
        axis = activations.unit_axis(values.dim(), made_by)
        key = (self.layer, function.name, producer, values.shape[axis], *_call_site())
        units = self.units.get(key)
        if units is None:
            units = self.units[key] = Units(self.layer, producer, function, len(self.units) + len(self.rows))
        units.see(values, axis, bounds)
        if before is not None:
            units.see_before(before, axis)

    def _softmax(self, out: torch.Tensor, maker: Any, args: Any, kwargs: Any) -> None:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if not isinstance(dim, int) or out.dim() == 0 or out.numel() == 0 or out.is_meta:
            return
        self._rows(maker).see(out.detach(), dim)

    def _attention(self, func: Any, out: torch.Tensor, args: Any, kwargs: Any) -> None:
        """The softmax of a fused attention is out of sight."""
        if out.is_meta or out.is_nested or not _plain(out):
            return
        with contextlib.suppress(RuntimeError, TypeError, IndexError):  # arguments of an unusual form
            seen = probabilities(func, args, kwargs)
            if seen is not None:
                self._rows(None).see(seen, -1)

    def _rows(self, maker: Any, function: str = "softmax") -> Rows:
        key = (self.layer, self._producer(maker)[0], function)
        return self.rows.setdefault(key, Rows(*key, order=len(self.units) + len(self.rows)))

    def _producer(self, node: Any) -> tuple[str, str]:
        """(layer, function) of the linear, convolution or the like whose units an activation sees."""
        for _ in range(_LOOK_BACK):
            if node is None:
                break
            layer, function = self.operations.get(node, ("", ""))
            if function.startswith(_PRODUCERS):
                return layer, function
            node = next((following for following, _ in node.next_functions if following is not None), None)
        return "", ""

    def _batch_norm(self, out: torch.Tensor, args: Any, kwargs: Any) -> None:
        training = kwargs.get("training", args[5] if len(args) > 5 else False)
        if training and out.dim() > 1:
            values = out.numel() // max(out.shape[1], 1)
            self.batch_norm_values = min(values, self.batch_norm_values or values)


def _plain(tensor: torch.Tensor) -> bool:
    """Dense, and not inside a torch.func transform."""
    return (
        tensor.layout == torch.strided and not tensor.is_nested and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )

>>>>>>> 26e12c0 (Name gradients that are zero by algebra, saturated fused attention, copies, layers passed by; 118 models written from fault catalogues and papers)

def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
