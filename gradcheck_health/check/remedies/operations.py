"""The operations that remedies change: products with a weight, activations, factors; how each is told from others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call, running_modules
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.forward.activations import FUNCTIONS, SOFTMAX, function_name
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.finding import LOSS


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a function in forward."""

    layer: str
    """Path of the innermost module that is running."""
    kind: str
    """linear, activation, softmax, or factor."""
    name: str
    """linear, conv2d, matmul ...; sigmoid, relu ...; mul, div."""
    weight: str = ""
    """Of a product: the parameter."""
    in_out: bool = False
    """Its first axis counts inputs: x @ W."""
    width: int = 0
    """Entries of what it returns along the axis of units."""
    value: float = 1.0
    """Of a factor."""
    source: str | None = None


class Product(NamedTuple):
    """A product with a weight."""

    weight: torch.Tensor
    """The parameter."""
    input: torch.Tensor
    in_out: bool
    """The first axis of the weight counts inputs: x @ W. Otherwise the first counts outputs, as in F.linear."""
    convolution: bool


_CONVOLUTIONS = {F.conv1d: False, F.conv2d: False, F.conv3d: False}
_TRANSPOSED = {F.conv_transpose1d: True, F.conv_transpose2d: True, F.conv_transpose3d: True}
CONVOLUTIONS: Mapping[Any, bool] = {**_CONVOLUTIONS, **_TRANSPOSED}
MATMULS: frozenset[Any] = frozenset(
    {torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.mm, torch.Tensor.mm, torch.bmm, torch.Tensor.bmm}
)
_FACTORS: Mapping[Any, str] = {
    **dict.fromkeys((torch.mul, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__, torch.Tensor.mul_), "mul"),
    **dict.fromkeys((torch.div, torch.Tensor.div, torch.Tensor.__truediv__, torch.true_divide, torch.Tensor.div_), "div"),
    torch.Tensor.__imul__: "mul",
    torch.Tensor.__itruediv__: "div",
}
LOG_SOFTMAX: frozenset[Any] = frozenset({F.log_softmax, torch.log_softmax, torch.Tensor.log_softmax})


def product(func: Any, args: Any, kwargs: Any) -> Product | None:
    """The weight and the input of a product with a parameter; None for any other call."""
    if func is F.linear or func in CONVOLUTIONS:
        weight = args[1] if len(args) > 1 else kwargs.get("weight")
        x = args[0] if args else kwargs.get("input")
        base, turned = _parameter(weight)
        return None if base is None else Product(base, x, CONVOLUTIONS.get(func, False) != turned, func in CONVOLUTIONS)
    if func in MATMULS and len(args) == 2:
        for position in (1, 0):
            base, turned = _parameter(args[position])
            if base is not None:
                return Product(base, args[1 - position], (position == 1) != turned, False)
    if func is torch.addmm and len(args) == 3:
        base, turned = _parameter(args[2])
        return None if base is None else Product(base, args[1], not turned, False)
    return None


def _parameter(operand: Any) -> tuple[torch.Tensor | None, bool]:
    """The parameter that an operand is, or is a transposed view of, and whether it is transposed."""
    if isinstance(operand, nn.Parameter):
        return (operand, False) if operand.dim() > 1 else (None, False)
    base = getattr(operand, "_base", None) if isinstance(operand, torch.Tensor) else None
    if isinstance(base, nn.Parameter) and base.dim() > 1 and base.numel() == operand.numel():
        return base, operand.dim() == 2 and operand.shape == base.shape[::-1] and operand.stride() == base.stride()[::-1]
    return None, False


def factor(func: Any, args: Any) -> tuple[torch.Tensor, float] | None:
    """The tensor and the number that it is multiplied by, of a product with one constant number."""
    how = _FACTORS.get(func)
    if how is None or len(args) != 2:
        return None
    tensor, other = args
    if how == "mul" and not isinstance(tensor, torch.Tensor):
        tensor, other = other, tensor
    if how == "mul" and isinstance(tensor, torch.Tensor) and tensor.numel() == 1 and not tensor.requires_grad:
        tensor, other = (other, tensor) if isinstance(other, torch.Tensor) and other.numel() > 1 else (tensor, other)
    if isinstance(other, torch.Tensor):
        if other.numel() != 1 or other.requires_grad or other.is_meta:
            return None
        other = other.item()
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point() or not isinstance(other, int | float):
        return None
    if not math.isfinite(other) or other == 0:
        return None
    return tensor, float(other) if how == "mul" else 1.0 / other


def softmax_name(func: Any) -> str:
    """softmax, log_softmax, or ""."""
    return "softmax" if func in SOFTMAX else "log_softmax" if func in LOG_SOFTMAX else ""


def survey(subject: Subject) -> tuple[Operation, ...]:
    """The operations of one forward pass, in their order. Call it inside a sandbox."""
    model = unwrap(subject.model)
    names = {id(entry.tensor): entry.name for entry in named_parameters(model)}
    found: list[Operation] = []
    with running_modules(model) as running, _Recorder(found, names, lambda: running[-1]):
        output = call(subject.model, subject.inputs, subject.seed)
        if subject.loss is not None:
            running.append(LOSS)
            subject.loss(output)
    return tuple(found)


class _Recorder(TorchFunctionMode):
    def __init__(self, found: list[Operation], names: Mapping[int, str], layer: Callable[[], str]) -> None:
        super().__init__()
        self._found, self._names, self._layer = found, names, layer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if isinstance(out, torch.Tensor):
            self._note(func, args, kwargs, out)
        return out

    def _note(self, func: Any, args: Any, kwargs: Any, out: torch.Tensor) -> None:
        found = product(func, args, kwargs)
        if found is not None:
            axis = 1 if found.convolution and out.dim() > 2 else -1
            width = out.shape[axis] if out.dim() else 0
            name = self._names.get(id(found.weight), "")
            self._found.append(Operation(self._layer(), "linear", func.__name__.strip("_"), name, found.in_out, width))
        elif name := activation_name(func, args, kwargs):
            self._found.append(Operation(self._layer(), "activation", name, source=user_line()))
        elif name := softmax_name(func):
            self._found.append(Operation(self._layer(), "softmax", name, source=user_line()))
        elif (scaled := factor(func, args)) is not None:
            self._found.append(Operation(self._layer(), "factor", _FACTORS[func], value=scaled[1], source=user_line()))


_SMOOTH: Mapping[Any, str] = {
    F.gelu: "gelu",
    F.silu: "silu",
    F.elu: "elu",
    F.selu: "selu",
    F.leaky_relu: "leaky_relu",
    F.softplus: "softplus",
    F.softsign: "softsign",
    F.logsigmoid: "logsigmoid",
}


def smooth_name(func: Any) -> str:
    """The name of an activation that has no flat end to be stuck at; "" for anything else."""
    return _SMOOTH.get(func, "")


def activation_name(func: Any, args: Any, kwargs: Any) -> str:
    """The name of any activation function; "" for anything else."""
    return (function_name(func, args, kwargs) if func in FUNCTIONS else "") or smooth_name(func)
