"""What became of each cure that was tried on a sick model: measured on the model itself, which was put back afterwards."""

from __future__ import annotations

from dataclasses import dataclass

SOUND, GONE, TRAINS, NO_HELP, RAISED, NOT_MEASURED = "sound", "gone", "trains", "no help", "raised", "not measured"


@dataclass(frozen=True, slots=True)
class Clipping:
    """What a clip did in a short run."""

    threshold: float
    steps: float
    """Share of the steps that it touched."""
    elements: float
    """Share of the entries of the gradients, over all steps."""
    update: float
    """|dw| / |w| of a step, the median."""


@dataclass(frozen=True, slots=True)
class ShortRun:
    """A few steps of training on one batch, undone afterwards."""

    steps: int
    optimizer: str
    lr: float
    towards: str
    """What the loss is: "the given loss", "the model's own loss", or "a smooth teacher" of the input where there is none."""
    first: float
    last: float
    constant: float | None = None
    """The loss of the best constant output, where the teacher's targets are known."""
    weight_decay: float = 0.0
    clipping: Clipping | None = None

    @property
    def share(self) -> float:
        """Of the loss that a constant output has, or of the first loss, that is left at the end."""
        return self.last / (self.constant or self.first or 1.0)


@dataclass(frozen=True, slots=True)
class RemedyTrial:
    """One cure, tried for one finding."""

    remedy: str
    """he-init, layer-norm, guard ..."""
    rule: str
    """Of the finding that it was tried for."""
    finding: int
    """Position of that finding in the report."""
    outcome: str
    """sound: no error and no warning is left; gone: the finding is, others are left or come to light; trains: it changes no
    model, and a short run with it is better; no help: the finding is still there, or the run is no better; raised: the model
    raised under it; not measured: it could not be tried, or others looked better in a first pass."""
    change: str = ""
    """What was changed, in the user's own terms."""
    source: str | None = None
    """The line that the change is about."""
    names: tuple[str, ...] = ()
    """Layers or parameters that it changed."""
    before: float | None = None
    after: float | None = None
    """The measure that was sick, without and with it; None where the rule has none that can be read without its finding."""
    left: tuple[str, ...] = ()
    """Rules with an error or a warning under it that had one before."""
    revealed: tuple[str, ...] = ()
    """The same of rules that had none: a NaN hides what else is wrong."""
    variation: float | None = None
    """Of the output over the samples, variance over mean square, under it."""
    output: float | None = None
    """rms of the output."""
    parameters: int = 0
    """Trainable entries that it adds."""
    flops: float | None = None
    """Of the matrix products and convolutions of a forward pass, over those without it; None where they were not counted."""
    why: str = ""
    """Why it was not measured, or what was raised."""
    run: ShortRun | None = None

    @property
    def helps(self) -> bool:
        """It was measured, and the finding was gone or the run better: only then it is suggested."""
        return self.outcome in (SOUND, GONE, TRAINS)
