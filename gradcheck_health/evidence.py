"""What a second, more particular look at a model showed: small records that facts hand to rules inside a `Trace`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the graph loses parameters that the values still depend on (the `detailed` fact)."""

    op: str
    """detach, argmax, no_grad, numpy ..."""
    layer: str
    source: str | None
    parameters: tuple[str, ...]
    reaches_output: bool
    """Values behind the cut arrive in an output: without the cut these parameters would be trained."""
    flat: bool = False
    """Differentiable in name: the gradient that comes back is zero and not missing (round, sign, bernoulli)."""


@dataclass(frozen=True, slots=True)
class Nonfinite:
    """The first operation that made NaN or Inf out of finite values (the `detailed` fact)."""

    phase: str
    """forward or backward."""
    op: str
    layer: str
    source: str | None
    what: str
    """nan, inf, or overflow: Inf in half precision where float32 would have held the value."""
