"""How a model's health changes with its depth and width: what is to be swept, and what the sizes showed.

Ratios are those of the flow: the gradient norm at the first layer over that at the head. Logarithms are decimal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FAR = 10_000
"""Layers: a limit beyond is no limit."""
WIDTHS, SEEDS = 4, 4
"""As many widths and seeds at least before the coordinate check is judged."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A factory, and the sizes that it shall be built in: `check_gradients(Sweep(build, depth=(2, 4, 8)))`.

    Called without arguments it is the factory of the first size.
    """

    factory: Any
    """A class or function with parameters for depth and width; what it returns, a factory of `check_gradients` may return."""
    depth: tuple[int, ...] = ()
    """Depths, measured at the first width; none where the depth is not to be varied."""
    width: tuple[int, ...] = ()
    """Widths, measured at the first depth."""
    depth_name: str | None = None
    """The parameter that is the depth, such as "n_layer" or "config.n_layer"; found by the usual names where None."""
    width_name: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of the factory, the same at every size."""


@dataclass(frozen=True, slots=True)
class SizePoint:
    """One size: its flow under several seeds, and what it costs."""

    depth: int | None
    """None where the depth was not varied."""
    width: int | None
    ratios: tuple[float, ...] = ()
    """One a seed; a seed whose flow cannot be judged has none."""
    kicked: bool = False
    """Measured at slightly moved weights, because a zero initialisation stops the gradient at the given ones."""
    lowest: float = 0.0
    """The bound of vanishing-gradient at this size."""
    highest: float = float("inf")
    """The bound of exploding-gradient at this size."""
    parameters: int = 0
    flops: int = 0
    """Floating point operations of products and convolutions, in one forward and one backward pass."""
    seconds: float = 0.0
    """Of one forward and one backward pass, the faster of two."""
    memory: int = 0
    """Bytes of parameters, their gradients, buffers and what forward keeps for backward."""
    changes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Layer -> root mean square over the entries of its output of how far the optimizer's steps moved it, one a seed."""
    seeds: int = 0
    skipped: str = ""
    """Why this size was not measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One size as it was measured, and what does not depend on it."""

    point: SizePoint
    kinds: Mapping[str, str]
    """Layer -> class, where the outputs were compared."""
    optimizer: str = ""
    """Whose steps moved them, "Adam(lr=0.001)"."""


@dataclass(frozen=True, slots=True)
class FactorySizes:
    """Which parameters of a factory are its depth and its width."""

    target: str
    """The exact target that names it, "model.py:Net"."""
    depth: str | None = None
    width: str | None = None
    no_depth: str = ""
    """Why there is none."""
    no_width: str = ""


@dataclass(frozen=True, slots=True)
class DepthCheck:
    """The prediction beside the measurement, at a depth that was not fitted."""

    depth: int
    predicted: float
    """Logarithm of the ratio."""
    measured: float
    """The same, the mean over the seeds."""
    off: float
    """Error of the prediction in depth: how much deeper or shallower the fit reaches what was measured, over the depth."""


@dataclass(frozen=True, slots=True)
class DepthFit:
    """The logarithm of the ratio against depth, by weighted least squares."""

    law: str
    """"exponential": a straight line over the depth; "power": over its logarithm; "none": no slope that can be told from 0."""
    intercept: float
    slope: float
    """Decades a layer, or decades a decade of depth."""
    error: float
    """Standard error of the slope."""
    depths: tuple[int, ...]
    """That were fitted."""
    bound: float = 0.0
    """The ratio that is the limit: of vanishing-gradient where the gradient shrinks, of exploding-gradient where it grows."""
    rule: str = ""
    """Whose bound it is."""
    deepest: float | None = None
    """The depth at which the fit reaches the bound; None where it never does, or beyond `FAR`."""
    low: float | None = None
    """Ends of the 95 % interval of `deepest`; None: beyond `FAR`."""
    high: float | None = None
    check: DepthCheck | None = None


@dataclass(frozen=True, slots=True)
class LayerSlope:
    """How far a layer's output moves against width: the exponent, 1 in the standard parametrisation, 0 in muP."""

    layer: str
    kind: str
    slope: float
    error: float
    """Standard error."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the sizes of a sweep showed."""

    points: tuple[SizePoint, ...]
    """Depths at the first width, then the other widths at the first depth, then what the prediction was checked at."""
    depth_name: str | None = None
    width_name: str | None = None
    """The parameters of the factory that were varied; None where one was not."""
    fit: DepthFit | None = None
    """None where fewer than two depths could be measured."""
    slopes: tuple[LayerSlope, ...] = ()
    """The steepest first; none where fewer than two widths could be measured."""
    widths: tuple[int, ...] = ()
    """Of the coordinate check."""
    seeds: int = 0
    """Under which each size was measured."""
    optimizer: str = ""
    """Whose steps moved the outputs, "Adam(lr=0.001)"."""
    steps: int = 0
    """That it took between the two outputs that are compared."""
    notes: tuple[str, ...] = ()
    """What could not be judged, and why."""

    @property
    def judged(self) -> bool:
        """Enough widths and seeds for a verdict on the width."""
        return len(self.widths) >= WIDTHS and self.seeds >= SEEDS
