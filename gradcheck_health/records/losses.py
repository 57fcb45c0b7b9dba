"""What was seen of a loss: what it is handed, how it pairs predictions with targets, and summands that train nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MisreadLoss:
    """A loss is handed something else than it takes."""

    function: str
    """nll_loss, kl_div, cross_entropy ..."""
    got: str
    """What it is handed: probabilities, raw scores, a target from -1 to 1 ..."""
    wanted: str
    """What it takes, and what to do."""
    layer: str
    """Path of the module whose forward calls it; "" in a loss that was given."""
    source: str | None = None
    minor: bool = False
    """It changes the scale of the gradient, and nothing else."""
    reach: bool = False
    """The last activation cannot get where the targets lie, or they are all of one class: a matter of the targets."""


@dataclass(frozen=True, slots=True)
class LossPairing:
    """A prediction and a target of different rank are joined by broadcasting, so that each meets all of the other's."""

    function: str
    """sub, mse_loss ..."""
    first: tuple[int, ...]
    second: tuple[int, ...]
    result: tuple[int, ...]
    layer: str
    source: str | None = None
    blind: bool | None = None
    """The loss stays the same when the targets are permuted, and not when they are changed; None: not tried."""


@dataclass(frozen=True, slots=True)
class LossTerm:
    """A summand of the loss that has no gradient, and moves with the parameters (the fact `loss_terms`)."""

    op: str
    """The operation after which no gradient can flow: argmax, item, no_grad ..."""
    value: float
    share: float
    """Its size over that of the loss."""
    source: str | None = None
