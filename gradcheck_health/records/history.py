"""What many steps of a training loop showed: for each optimizer, or each set of them that acts as one, how its steps went.

Plain numbers. Norms are Euclidean. What is read at a *measured* step is a `Moment`; what is counted at every step stands in
`Track`. Of a long run the first and the last moments are kept whole, those between thinned and without their columns.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradcheck_health.records.codec import decode, from_document, to_document
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.step import GroupTrace

SCHEMA = 1
ROWS = 10
"""A row of a weight counts as without gradient after so many measured steps in a row."""
COLUMNS = ("gradients", "weights", "ratios", "along", "idle_rows", "still")
"""Fields of a `Moment` with an entry for each parameter."""
WEIGHTS = ("weight", "embedding", "padded embedding")
"""Roles of what is judged by the size of its steps: gains and biases start at 1 and 0, and say little."""


@dataclass(frozen=True, slots=True)
class WatchedParameter:
    """A parameter that an optimizer of the loop holds; each `Moment` has one entry a parameter, in this order."""

    name: str
    """As in `state_dict`; of a tensor that the model does not hold its place in the optimizer, "AdamW[3]"."""
    kind: str
    """Class of its layer."""
    role: str
    dtype: str
    shape: tuple[int, ...]
    group: int
    """Position in `Track.groups`."""
    rows: int = 0
    """Rows (output units) whose gradient is followed; 0 where they are not."""
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """One measured step."""

    step: int
    """Of this track, from 1."""
    lr: tuple[float, ...]
    """Of each group."""
    gradient: float
    """Norm over all parameters, as the optimizer applied it."""
    weight: float
    """Norm over all parameters before the step, estimated from samples of at most 512 entries each."""
    slowest: float | None
    """Least |dw| / |w| of a weight; None where no weight other than zeros has a gradient."""
    median: float | None
    fastest: float | None
    dead: float
    """Share of the followed rows whose gradient has been exactly zero at the last `ROWS` measured steps."""
    loss: float | None = None
    """Before the step."""
    clipped: float | None = None
    """Size of one weight's gradient as applied over its size when backward had ended: 1 where nobody clipped; None: unknown."""
    nonfinite: int = 0
    """Parameters with NaN or Inf in their gradient; 0 where the step was skipped for it."""
    broken: tuple[int, ...] = ()
    """Positions of the parameters of which the step made NaN or Inf in the sample, although gradient and weight were finite."""
    skipped: bool = False
    """A fused optimizer left the weights as they were, because the loss scaler found Inf."""
    gradients: tuple[float | None, ...] = ()
    """Norm of each; None without a gradient. The columns are empty in moments that were thinned."""
    weights: tuple[float, ...] = ()
    ratios: tuple[float | None, ...] = ()
    """|dw| / |w| of each in a sample of its entries, of an embedding in rows with a gradient; None: zeros, no gradient."""
    along: tuple[float | None, ...] = ()
    """Cosine between dw and w: -1 where a step does nothing but shrink the weight."""
    idle_rows: tuple[int, ...] = ()
    """Rows of each without gradient at the last `ROWS` measured steps."""
    still: tuple[float | None, ...] = ()
    """Of half-precision weights: share of the sampled entries with a gradient that the step did not change."""


@dataclass(frozen=True, slots=True)
class Track:
    """The steps of one optimizer; of several that act as one (a step for each parameter, inside backward) taken together."""

    groups: tuple[GroupTrace, ...]
    """As they were at its first step."""
    parameters: tuple[WatchedParameter, ...]
    moments: tuple[Moment, ...] = ()
    steps: int = 0
    """Taken so far."""
    skipped: int = 0
    """Skipped in a row at the end, by a loss scaler."""
    backwards: int = 0
    """Backward passes that reached its parameters."""
    discarded: int = 0
    """Of those the last ones in a row whose gradient was thrown away before a step."""
    uncleared: int = 0
    """Steps between which and the step before nobody cleared the gradient, although backward added to it."""
    empty: int = 0
    """Measured steps in a row, the last ones, without a gradient other than zero although backward ran."""
    undone: int = 0
    """Measured steps in a row, the last ones, that began where the one before began, although it moved the weights."""
    lowest_lr: tuple[int, ...] = ()
    """Steps in a row, of each group, at a learning rate at or below 1e-4 of its largest."""
    missing: tuple[int, ...] = ()
    """Positions of parameters that had no gradient at any measured step."""
    uncalled: tuple[int, ...] = ()
    """Of those the ones whose module was not called while siblings were: an expert that is never chosen."""
    losses: tuple[tuple[int, float], ...] = ()
    """(step, loss) before each step; thinned in the middle of a long run."""
    largest_lr: tuple[float, ...] = ()
    strangers: tuple[tuple[int, ...], ...] = ()
    """Shapes of tensors that it holds, that the model does not, and that had no gradient at two steps."""
    spoiled: tuple[tuple[int, str], ...] = ()
    """(position of a parameter, buffer of the optimizer that holds NaN or Inf for it), as last read."""

    @property
    def optimizer(self) -> str:
        return " and ".join(dict.fromkeys(group.optimizer for group in self.groups)) or "the optimizer"

    @property
    def last(self) -> Moment | None:
        return self.moments[-1] if self.moments else None

    @property
    def closure(self) -> bool:
        """Each step evaluates the loss many times (LBFGS)."""
        return bool(self.groups) and all(group.closure for group in self.groups)


@dataclass(frozen=True, slots=True)
class Noticed:
    """A finding, and the step at which it was first made."""

    step: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class History:
    """The run of a training loop, as far as it was watched."""

    model: str
    tracks: tuple[Track, ...]
    left_out: tuple[str, ...] = ()
    """Trainable parameters that had a gradient at two steps and that no optimizer holds."""
    gap: bool = False
    """One of them stands behind a parameter that is trained: it was forgotten, not left to stay as it is."""
    evaluated: int = 0
    """Steps that were taken while the model was in eval mode."""
    modal: tuple[str, ...] = ()
    """Classes of the layers in it that train mode and eval mode treat differently."""
    frozen: int = 0
    """Parameters that ask for no gradient."""
    noticed: tuple[Noticed, ...] = ()
    rules: tuple[str, ...] = ()
    """Names of the rules that judge it while it runs."""
    gaps: tuple[str, ...] = ()
    """What was not seen, each one sentence."""

    @property
    def adversarial(self) -> bool:
        """Several optimizers take turns, as in a GAN: the loss of one is not meant to fall for ever."""
        return sum(track.steps > 0 for track in self.tracks) > 1

    @property
    def steps(self) -> int:
        return max((track.steps for track in self.tracks), default=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; NaN and infinities become the strings "nan", "inf" and "-inf"."""
        return to_document(self, SCHEMA)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """The inverse of `to_dict`.

        Raises:
            ValueError: another schema version, or a missing or unknown field.
        """
        return from_document(cls, data, SCHEMA, "history")

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> History:
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_file(cls, path: str | Path) -> History:
        """What `watch(file=...)` wrote, up to the last line that is whole: of a run that was killed its last measured step.

        Raises:
            ValueError: not such a file.
        """
        found: History | None = None
        moments: dict[int, list[Moment]] = {}
        noticed: list[Noticed] = []
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the line that was being written
                break
            if not isinstance(entry, dict):
                break
            if "history" in entry:
                found = cls.from_dict(entry["history"])
            elif "moment" in entry:
                moments.setdefault(entry["track"], []).append(decode(Moment, entry["moment"], "moment"))
            elif "noticed" in entry:
                noticed.append(decode(Noticed, entry["noticed"], "noticed"))
        if found is None:
            raise ValueError(f"{path}: not a history that watch(file=...) wrote")
        tracks = tuple(_completed(track, moments.get(i, ())) for i, track in enumerate(found.tracks))
        return dataclasses.replace(found, tracks=tracks, noticed=tuple(noticed))


def _completed(track: Track, moments: Sequence[Moment]) -> Track:
    """With the moments, and with what they say of a run whose end was not written."""
    if not moments or track.steps >= moments[-1].step:
        return dataclasses.replace(track, moments=tuple(moments))
    losses = tuple((one.step, one.loss) for one in moments if one.loss is not None)
    return dataclasses.replace(track, moments=tuple(moments), steps=moments[-1].step, losses=losses)
