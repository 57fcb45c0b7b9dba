"""The flow profile of a model: how much gradient arrives at every layer, over several seeds. Plain numbers, no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Level:
    """What arrives at one layer, as the mean over the seeds."""

    name: str
    """The layer, or the parameter where its layer hands out no tensor of its own; as in `state_dict`."""
    kind: str
    """Class name of the layer."""
    decades: float | None
    """log10 of the norm of the gradient of its output over that at the head; None: no gradient arrives, or only zeros."""
    spread: float | None = 0.0
    """Standard deviation over the seeds, in decades; None: it arrives under too few of them to tell."""
    gain_spread: float | None = 0.0
    """The same of the difference to the next level towards the output."""
    sometimes: bool = False
    """Under some seeds nothing arrives (an expert that gets no sample): then nothing is no news."""
    closed: bool = False
    """Nothing arrives before the first steps: a branch that starts at zero, and wakes."""
    scale: float | None = None
    """log10 of the rms of its output; None for a parameter, and for an output of zeros."""


@dataclass(frozen=True, slots=True)
class Share:
    """A fraction from 0 to 1 that belongs to the model as a whole, as the mean over the seeds."""

    value: float
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a baseline remembers of a model, and what it is compared with."""

    levels: tuple[Level, ...]
    """In forward order."""
    parameters: Mapping[str, str]
    """Name -> `float32[32, 16]`, with `, frozen` behind it where it is not trained."""
    shares: Mapping[str, Share] = field(default_factory=dict)
    """dead_fraction, saturated_fraction and reached_fraction, where there is something to count."""
    seeds: tuple[int, ...] = (0,)
    weights: str = ""
    """Fingerprint of the weights under the first seed."""
    fixed: bool = False
    """The weights were the same under every seed: the spread is that over batches, and says nothing about initialisations."""
    note: str = ""
    """Why the levels cannot be compared; "" if they can."""
