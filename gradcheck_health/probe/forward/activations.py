"""Units that pass no gradient: what activation functions did to each unit, whether called as modules or as functions.

A unit is a channel of a convolution or a feature of a linear layer. It is *off* if the derivative was 0 at every sample and
position, and *saturated* if its mean squared derivative, relative to the largest possible, is below 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

SATURATED = 0.1
SHUT = 1e-10
"""Mean squared normalised derivative below which a unit passes nothing: a gate closed by design passes far more."""
_SAMPLES = 64
"""Samples, and positions in each, that a saturation is estimated from: its standard error is then below 2 %."""
_POSITIONS = 16
_FEW = 8
"""Places along each axis where units are first looked for that are alive, and entries up to which all are read at once."""
_WHOLE = 1 << 14

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


def _hardtanh_bounds(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
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


def function_name(func: Any, args: tuple[Any, ...]) -> str:
    """What this call is named in a trace, if it applies an activation function; "" otherwise."""
    if func in SOFTMAX:
        return "softmax"
    function = FUNCTIONS.get(func) or (_RELU if rectifies(func, args) else None)
    return function.name if function is not None else ""


def unit_axis(ndim: int, producer: str) -> int:
    """Which axis of an activation counts units, by what produced it ("conv2d", "linear", "batch_norm" ...)."""
    if ndim >= 3 and (producer.startswith(("conv", "_conv")) or producer in ("batch_norm", "instance_norm", "group_norm")):
        return 1
    if producer in ("linear", "layer_norm", "rms_norm", "matmul", "bmm", "addmm", "baddbmm", "embedding"):
        return ndim - 1
    return 1 if ndim >= 4 else ndim - 1


@dataclass(slots=True)
class Units:
    """What was seen of one activation, all its calls together."""

    layer: str
    producer: str
    function: Function
    order: int
    samples: int = 0
    alive: torch.Tensor | None = None
    """bool[units]: the derivative was not zero somewhere."""
    slope: torch.Tensor | None = None
    """float[units]: sum of the mean squared normalised derivative, over calls."""
    high: torch.Tensor | None = None
    """float[units]: sum of the mean output, over calls."""
    calls: int = 0
    rows: int = 0
    total: torch.Tensor | None = None
    """float64[units]: sum of the pre-activations over rows."""
    low: torch.Tensor | None = None
    """float[units]: smallest pre-activation."""

    def add(self, y: torch.Tensor, axis: int, bounds: tuple[float, float]) -> None:
        """Take in one call's output, `y` detached."""
        self.calls += 1
        self.samples += y.shape[0] if axis != 0 else 1
        if self.function.alive is not None:
            alive = _alive(self.function.alive, *((y, axis) if y.dim() > 1 else (y[None], 1)), bounds)
            self.alive = alive if self.alive is None else self.alive | alive
        if self.function.slope is not None:
            rows = sample_rows(y, axis).float()
            slope, high = self.function.slope(rows, bounds).square().mean(0), rows.mean(0)
            self.slope = slope if self.slope is None else self.slope + slope
            self.high = high if self.high is None else self.high + high

    def add_before(self, x: torch.Tensor, axis: int) -> None:
        """Take in one call's pre-activations."""
        x = x if x.dim() > 1 else x[None]
        others = tuple(i for i in range(x.dim()) if i != axis % x.dim()) or (0,)
        low, total = x.amin(others), x.double().sum(others)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.total = total if self.total is None else self.total + total
        self.rows += x.numel() // max(total.numel(), 1)

    @property
    def on(self) -> int:
        """Units whose pre-activation was always positive."""
        return 0 if self.low is None else int((self.low > 0).sum())

    @property
    def lean(self) -> float:
        """t statistic of the units' mean pre-activations against zero."""
        if self.total is None or self.total.numel() < 2:
            return 0.0
        means = self.total / self.rows
        spread = float(means.std()) / math.sqrt(means.numel())
        return float(means.mean()) / spread if spread > 0 else math.copysign(math.inf, float(means.mean()))


def _alive(alive: Alive, y: torch.Tensor, axis: int, bounds: tuple[float, float]) -> torch.Tensor:
    """bool[units]. Most units are alive somewhere in a few places: then the others need not be read."""
    others = tuple(i for i in range(y.dim()) if i != axis)
    if y.is_cpu and y.numel() > _WHOLE:  # an accelerator is not waited for
        few = y[tuple(slice(None, None, None if i == axis else -(-size // _FEW)) for i, size in enumerate(y.shape))]
        if bool((found := alive(few, others, bounds)).all()):
            return found
    return alive(y, others, bounds)


def sample_rows(y: torch.Tensor, axis: int) -> torch.Tensor:
    """[rows, units]: at most 64 samples and 16 positions of each, evenly strided."""
    moved = y.movedim(axis, -1)
    if moved.dim() == 1:
        return moved[None]
    moved = moved[:: -(-moved.shape[0] // _SAMPLES)]
    if moved.dim() > 2:
        moved = moved.flatten(1, -2) if moved.is_contiguous() else moved.reshape(moved.shape[0], -1, moved.shape[-1])
        moved = moved[:, :: -(-moved.shape[1] // _POSITIONS)]
        moved = moved.reshape(-1, moved.shape[-1])
    return moved
