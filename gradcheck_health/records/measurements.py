"""What was measured of each tensor, parameter, layer, activation function, cut point, output and input.

Parameters and layers are named as in `state_dict` (wrapper prefixes stripped). Norms are Euclidean and unitless; `rms` is the
root mean square over the finite entries of a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SQUASHING = ("hardtanh", "hardsigmoid", "sigmoid", "tanh")
"""Activation functions that are flat at both ends."""
NARROW = 4
"""Rectifiers with at most so many units may be off all at once by chance."""


@dataclass(frozen=True, slots=True)
class TensorStats:
    """Statistics of one tensor, or of several calls' tensors together."""

    numel: int
    rms: float
    """Root mean square over the finite entries; 0 for an empty tensor."""
    max: float | None
    """Largest absolute value over the finite entries; None where it was not searched for: of values, activations and their
    gradients whose norm half precision holds."""
    nan: int = 0
    inf: int = 0
    """Counts of non-finite entries; 1 may mean "at least one" where counting would have cost a device synchronisation."""

    @property
    def norm(self) -> float:
        return self.rms * math.sqrt(self.numel)

    @property
    def is_zero(self) -> bool:
        """Every entry is exactly zero (an empty tensor counts)."""
        return (self.rms if self.max is None else self.max) == 0.0 and self.finite

    @property
    def finite(self) -> bool:
        return self.nan == 0 and self.inf == 0

    @classmethod
    def merge(cls, parts: Sequence[TensorStats]) -> TensorStats:
        """The statistics of several tensors as if they were one."""
        if len(parts) == 1:
            return parts[0]
        numel = sum(part.numel for part in parts)
        # hypot scales internally: squares of values near 1e-200 must not vanish
        norm = math.hypot(*(part.norm for part in parts))
        return cls(
            numel=numel,
            rms=norm / math.sqrt(numel) if numel else 0.0,
            max=_largest(parts),
            nan=sum(part.nan for part in parts),
            inf=sum(part.inf for part in parts),
        )


def _largest(parts: Sequence[TensorStats]) -> float | None:
    """A norm bounds what was not searched for."""
    known = max((part.max for part in parts if part.max is not None), default=0.0)
    return known if known >= max((part.norm for part in parts if part.max is None), default=0.0) else None


@dataclass(frozen=True, slots=True)
class ParameterTrace:
    """One parameter: what it holds and what gradient reached it."""

    name: str
    layer: str
    """Path of the module that owns it; "" is the model itself."""
    kind: str
    """Class name of that module."""
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    value: TensorStats
    gradient: TensorStats | None
    """None: no gradient arrived (`.grad is None`), which is not the same as a gradient of zeros."""
    order: int
    """Rank of the owning layer's first call in forward; -1 if it was never called."""
    aliases: tuple[str, ...] = ()
    """Further names of the same tensor (tied parameters)."""
    role: str = "weight"
    """weight (two or more dimensions), embedding, padded embedding (with a padding_idx), bias, scale (the gain of a
    normalisation), vector or scalar."""
    source: str | None = None
    """`file:line` of the assignment that builds it, known after the `detailed` fact."""
    followed: bool = True
    """Forward computed something from it (the `detailed` fact finds out for parameters without a gradient)."""
    referenced: bool = True
    """The code of its owners refers to it, or to the module that holds it, outside the constructor (the `detailed` fact)."""
    decades: tuple[tuple[int, int], ...] = ()
    """(floor(log10 |g|), how many) over a sample of at most 256 entries of the gradient, ascending, for pictures."""
    zeros: int = 0
    """Exact zeros in that sample."""
    uses: int = 0
    """Operations of the autograd graph that take it; 0, too, where the graph was not walked."""
    shrunk: float = 1.0
    """What small weights that are multiplied with entry by entry (LayerScale) leave of its gradient on the loudest way back."""


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """One module, all its calls together."""

    name: str
    kind: str
    order: int
    """Rank of its first call in forward; -1 if it was never called."""
    calls: int
    output: TensorStats | None = None
    output_gradient: TensorStats | None = None
    """None: nothing differentiable came out, or no gradient came back."""
    source: str | None = None
    training: bool = True
    """Its mode."""


@dataclass(frozen=True, slots=True)
class ActivationTrace:
    """One place where an activation function is applied, as a module or as a function."""

    layer: str
    """Path of the innermost module whose forward applied it."""
    function: str
    """relu, sigmoid, tanh, softmax ..."""
    order: int
    units: int
    """Channels of a convolution, features of a linear layer; rows of a softmax, or of a normalisation over one entry."""
    samples: int
    """Independent samples that were seen (batch entries, not positions)."""
    off: int = 0
    """Units whose derivative was 0 at every sample and position."""
    saturated: int = 0
    """Units whose mean squared normalised derivative is below 0.1."""
    producer: str = ""
    """Path of the layer whose units these are: the linear or convolution before it."""
    one_sided: bool = False
    """The saturated units of a gate all lie on the same side: closed, or open, by design."""
    on: int = 0
    """Units of a ReLU whose pre-activation was positive at every sample and position (the `more_samples` fact)."""
    lean: float = 0.0
    """t statistic of the units' mean pre-activations against zero (the `more_samples` fact)."""
    source: str | None = None

    @property
    def by_rows(self) -> bool:
        """It takes the entries of a row together; `off` counts the rows of a single entry, of which it leaves nothing."""
        return self.function in ("softmax", "layer_norm", "group_norm", "normalize")

    @property
    def narrow(self) -> bool:
        """A rectifier of so few units that all of them may be off by chance."""
        return 0 < self.units <= NARROW and self.function not in SQUASHING and not self.by_rows

    @property
    def single(self) -> bool:
        """A softmax or a normalisation over single entries."""
        return self.by_rows and self.units > 0 and self.off == self.units


@dataclass(frozen=True, slots=True)
class CutPoint:
    """A tensor that every gradient path from the output to the first layer crosses."""

    layer: str
    op: str
    """The operation that made it, as autograd calls it: Addmm, Sigmoid, Add ..."""
    gradient: float
    """Norm of dL/dh over the whole batch, float64."""
    output: float | None = None
    """rms of h, where the forward pass showed it."""
    source: str | None = None
    merges: bool = False
    """Between here and the next cut point towards the input another stream of data joins (a decoder attends to an encoder)."""
    entries: int = 0
    """Of a softmax: so many entries share one sum."""
    shrunk: float = 1.0
    """What small weights that are multiplied with entry by entry leave of the gradient on its loudest way to here."""


@dataclass(frozen=True, slots=True)
class OutputTrace:
    """One leaf of what forward returned."""

    path: str
    """How to reach it from the output: "", "[0]", ".logits"."""
    shape: tuple[int, ...]
    dtype: str
    probed: bool
    why: str = ""
    """Why it was not probed: integer, no gradient, the model's own loss was taken instead."""
    stats: TensorStats | None = None
    variation: float | None = None
    """Variance over the samples as a share of the mean square; None without a batch axis."""


@dataclass(frozen=True, slots=True)
class InputsTrace:
    """What the model was fed."""

    description: str
    """float32[64, 1, 32, 32], one argument after another."""
    origin: str
    made_up: bool
    batch: int | None
    variation: float | None = None
    """The largest variation of an argument, as for an output."""
    left_out: tuple[str, ...] = ()
    """Optional tensor arguments that made-up inputs do not supply."""
    rms: float | None = None
    """The largest rms of a floating argument, over a sample of its entries; None where there is none."""
