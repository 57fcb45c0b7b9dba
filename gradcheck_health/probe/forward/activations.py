"""The activation functions that are watched: when the derivative of each is zero, and how steep it is, read off its output."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

Alive = Callable[[torch.Tensor, tuple[int, ...], tuple[float, float]], torch.Tensor]


def _above(y: torch.Tensor, axes: tuple[int, ...], bounds: tuple[float, float]) -> torch.Tensor:
    return y.amax(axes) > bounds[0]


def _between(y: torch.Tensor, axes: tuple[int, ...], bounds: tuple[float, float]) -> torch.Tensor:
    return ((y > bounds[0]) & (y < bounds[1])).any(axes) if len(axes) == 1 else ((y > bounds[0]) & (y < bounds[1])).amax(axes)


def _nonzero(y: torch.Tensor, axes: tuple[int, ...], bounds: tuple[float, float]) -> torch.Tensor:
    return (y != 0).amax(axes)


def _sigmoid_slope(y: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    return 4 * y * (1 - y)


def _tanh_slope(y: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    return 1 - y * y


def _hard_slope(y: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    return ((y > bounds[0]) & (y < bounds[1])).to(y.dtype)


@dataclass(frozen=True, slots=True)
class Function:
    """An activation function: when its derivative is zero, and how steep it is, both read off its output."""

    name: str
    alive: Alive | None = None
    bounds: Callable[[tuple[Any, ...], dict[str, Any]], tuple[float, float] | None] = lambda args, kwargs: (0.0, math.inf)
    slope: Callable[[torch.Tensor, tuple[float, float]], torch.Tensor] | None = None
    """From the output to the derivative, over the largest possible."""
    gate: bool = False
    """Used as a gate as often as a squashing: all units closed, or all open, is a design and not a fault."""


def _clamp_bounds(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float] | None:
    low = args[1] if len(args) > 1 else kwargs.get("min")
    high = args[2] if len(args) > 2 else kwargs.get("max")
    if any(isinstance(bound, torch.Tensor) for bound in (low, high)):
        return None
    # clamp(min=1e-6) guards a logarithm, clamp(max=...) a norm: an activation is cut off at zero
    if low is None or float(low) != 0.0:
        return None
    return 0.0, math.inf if high is None else float(high)


def _hardtanh_bounds(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[float, float]:
    low = args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)
    high = args[2] if len(args) > 2 else kwargs.get("max_val", 1.0)
    return float(low), float(high)


def _threshold_bounds(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float] | None:
    threshold = args[1] if len(args) > 1 else kwargs["threshold"]
    value = args[2] if len(args) > 2 else kwargs["value"]
    # what is cut off must not look like what was let through
    return (float(threshold), math.inf) if value <= threshold else None


_RELU = Function("relu", _above)
_CLAMP = Function("clamp", _between, _clamp_bounds)
_SIGMOID = Function("sigmoid", slope=_sigmoid_slope, gate=True)
_TANH = Function("tanh", slope=_tanh_slope)
_HARDTANH = Function("hardtanh", _between, _hardtanh_bounds, _hard_slope)
_RELU6 = Function("relu6", _between, _hardtanh_bounds)
"""What nn.ReLU6 calls is a hardtanh from zero on."""

FUNCTIONS: dict[Any, Function] = {
    **dict.fromkeys((F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_), _RELU),
    F.relu6: Function("relu6", _between, lambda args, kwargs: (0.0, 6.0)),
    **dict.fromkeys(
        (
            torch.clamp,
            torch.clamp_,
            torch.Tensor.clamp,
            torch.Tensor.clamp_,
            torch.clip,
            torch.clip_,
            torch.Tensor.clip,
            torch.Tensor.clip_,
        ),
        _CLAMP,
    ),
    **dict.fromkeys((torch.clamp_min, torch.Tensor.clamp_min, torch.Tensor.clamp_min_, torch.clamp_min_), _CLAMP),
    **dict.fromkeys((F.hardtanh, F.hardtanh_), _HARDTANH),
    **dict.fromkeys((F.threshold, torch.threshold_), Function("threshold", _above, _threshold_bounds)),
    F.hardswish: Function("hardswish", _nonzero),
    F.hardsigmoid: Function("hardsigmoid", _between, lambda args, kwargs: (0.0, 1.0), _hard_slope, gate=True),
    F.softshrink: Function("softshrink", _nonzero),
    F.hardshrink: Function("hardshrink", _nonzero),
    **dict.fromkeys(
        (torch.sigmoid, torch.sigmoid_, torch.Tensor.sigmoid, torch.Tensor.sigmoid_, F.sigmoid, torch.special.expit), _SIGMOID
    ),
    **dict.fromkeys((torch.tanh, torch.tanh_, torch.Tensor.tanh, torch.Tensor.tanh_, F.tanh), _TANH),
}
"""The functions that the function mode observes. Softmax has rows instead of units and stands apart, in `Rows`."""

SOFTMAX: frozenset[Any] = frozenset({F.softmax, torch.softmax, torch.Tensor.softmax})

EXPONENTIALS: frozenset[Any] = frozenset({torch.exp, torch.Tensor.exp})
"""One of log-probabilities is a softmax written by hand."""

RECTIFIERS: frozenset[Any] = frozenset({torch.maximum, torch.Tensor.maximum, torch.max, torch.Tensor.max})


def rectifies(func: Any, args: tuple[Any, ...]) -> bool:
    """`maximum(x, 0)` in one of its spellings."""
    return (
        func in RECTIFIERS
        and len(args) == 2
        and isinstance(args[1], torch.Tensor)
        and not torch._C._functorch.is_functorch_wrapped_tensor(args[1])
        and args[1].numel() == 1
        and not args[1].requires_grad
        and not args[1].is_meta
        and args[1].item() == 0
    )


def applied(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Function | None:
    """The activation function that this call applies; None for a softmax, and for any other call."""
    function = FUNCTIONS.get(func)
    if function is _HARDTANH and _hardtanh_bounds(args, kwargs)[0] == 0.0:
        return _RELU6
    return function or (_RELU if rectifies(func, args) else None)


def function_name(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """What this call is named in a trace, if it applies an activation function; "" otherwise."""
    if func in SOFTMAX:
        return "softmax"
    function = applied(func, args, kwargs)
    return function.name if function is not None else ""


def unit_axis(ndim: int, producer: str) -> int:
    """Which axis of an activation counts units, by what produced it ("conv2d", "linear", "batch_norm" ...)."""
    if ndim >= 3 and (producer.startswith(("conv", "_conv")) or producer in ("batch_norm", "instance_norm", "group_norm")):
        return 1
    if producer in ("linear", "layer_norm", "rms_norm", "matmul", "bmm", "addmm", "baddbmm", "embedding"):
        return ndim - 1
    return 1 if ndim >= 4 else ndim - 1
