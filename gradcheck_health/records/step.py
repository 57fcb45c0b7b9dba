"""What one step of training showed: the loss, each parameter before and after, the optimizer's groups, the order of events.

Plain numbers, no tensors. Norms are Euclidean, taken in float32 at least.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ParameterStep:
    """One parameter in one step of the optimizer that holds it."""

    name: str
    """As in `state_dict`; of a tensor that the model does not hold: its group and position, "AdamW.0[3]"."""
    role: str
    """weight, embedding, padded embedding, bias, scale, vector or scalar."""
    dtype: str
    entries: int
    weight: float
    """|w| before the step."""
    gradient: float | None
    """|g| as the optimizer saw it, after unscaling and clipping; None where there was none."""
    update: float
    """|dw|, the decay included."""
    pushed: int
    """Entries with a gradient other than zero, in a sample of at most 16384."""
    moved: int
    """Of those, the entries that were changed at all."""
    group: int | None
    """Position in `StepTrace.groups`; None: no optimizer holds it."""
    source: str | None = None
    nonfinite_gradient: int = 0
    """Entries that are NaN or Inf."""
    nonfinite_weight: int = 0
    """The same, after the step."""
    nonfinite_state: str = ""
    """The first of the optimizer's buffers for it that is not finite after the step: exp_avg_sq, momentum_buffer ..."""

    @property
    def ratio(self) -> float | None:
        """|dw| / |w|; None where there is nothing to compare with: a parameter of zeros, or one without a gradient."""
        return self.update / self.weight if self.weight > 0 and self.gradient else None


@dataclass(frozen=True, slots=True)
class GroupTrace:
    """One parameter group of an optimizer, as it was when the step was taken."""

    optimizer: str
    """Class name."""
    lr: float
    parameters: int
    initial_lr: float | None = None
    """What a scheduler starts from; None without one."""
    eps: float | None = None
    weight_decay: float = 0.0
    momentum: float = 0.0
    closure: bool = False
    """Its step evaluates the loss itself, many times: what is called a step elsewhere is one of these (LBFGS)."""
    strangers: tuple[tuple[int, ...], ...] = ()
    """Shapes of the tensors in it that the model does not hold and that got no gradient."""

    @property
    def warming_up(self) -> bool:
        """A scheduler has brought the learning rate down, or not up yet."""
        return self.initial_lr is not None and self.lr < self.initial_lr


@dataclass(frozen=True, slots=True)
class StepEvent:
    """Something that happened in a step that was given, in its order."""

    kind: str
    """backward, unscale, clip, or step."""
    source: str | None = None
    groups: tuple[int, ...] = ()
    """Positions in `StepTrace.groups` of the parameters that it touches; of what no optimizer holds -1."""
    parameters: int = 0
    """Of a backward: parameters that a gradient reached. Of a clip or a step: parameters that hold one."""
    stale: int = 0
    """Of a step: parameters whose gradient still holds that of a step before, because nobody cleared it in between."""
    norm: float | None = None
    """Of a clip: the total norm of the gradients that it found."""
    limit: float | None = None
    """Of a clip: the norm, or the value, that it allows."""
    by: str = ""
    """Of a clip: norm or value. Of a step: the optimizer's class."""
    factor: float = 1.0
    """Of a backward: the numbers that the loss was multiplied by at last, 1 / 4 in (loss / 4).backward()."""
    mean: bool = False
    """Of a backward: the loss below those factors is a mean."""
    forwards: int = 0
    """Of a backward: calls of the model since the backward before."""


@dataclass(frozen=True, slots=True)
class StepTrace:
    """One step of training."""

    by: str
    """"the check" took it, or "the given step"."""
    parameters: tuple[ParameterStep, ...]
    """Those of the model in its order; then those that only the optimizers hold and that got a gradient."""
    groups: tuple[GroupTrace, ...]
    """Of all optimizers, in order."""
    loss: float | None = None
    """Before the step; None where there is no loss (a random projection), or where it was not seen."""
    events: tuple[StepEvent, ...] = ()
    """Of a given step, those since the step before; the check's own has none."""
    skipped: int = 0
    """Steps that the scaler has skipped before this one."""
    rescaled: bool = False
    """Of a given step: gradients were multiplied by hand before it."""
    after: tuple[StepEvent, ...] = ()
    """Of the last step of those that were given: what came behind it."""
    taken: bool = True
    """False: the scaler skipped every step that was tried, or the given step took none."""
    scale: float | None = None
    """Loss scale of the scaler."""

    def weights(self) -> Iterator[ParameterStep]:
        """Matrices, kernels and tables that an optimizer holds: gains and biases are judged apart."""
        roles = ("weight", "embedding", "padded embedding")
        return (one for one in self.parameters if one.role in roles and one.group is not None)

    def lr(self, parameter: ParameterStep) -> float:
        """The learning rate of its group; NaN without one."""
        return math.nan if parameter.group is None else self.groups[parameter.group].lr
