"""One measured step as a record, and what is kept of many: the first and the last whole, those between thinned."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from statistics import median

from gradcheck_health.probe.training.watching.reader import Columns
from gradcheck_health.records.history import COLUMNS, WEIGHTS, Moment, WatchedParameter

FIRST, LAST = 100, 100
"""Moments that are kept, whatever comes between."""
BETWEEN = 200
WHOLE = 40
"""The last moments that keep their columns; of the first as many as `START`."""
START = 5


class Kept:
    """Moments, or losses, of a run of any length in bounded memory."""

    def __init__(self) -> None:
        self.first: list[Moment] = []
        self.between: list[Moment] = []
        self.last: deque[Moment] = deque()
        self._stride = self._count = 0

    def add(self, moment: Moment) -> None:
        if len(self.first) < FIRST:
            self.first.append(moment)
            old = len(self.first) - WHOLE - 1
            if old >= START:
                self.first[old] = _without_columns(self.first[old])
            return
        if len(self.last) < WHOLE:  # some of the first still have theirs
            at = FIRST - WHOLE + len(self.last)
            self.first[at] = _without_columns(self.first[at])
        self.last.append(moment)
        if len(self.last) > WHOLE:
            self.last[-WHOLE - 1] = _without_columns(self.last[-WHOLE - 1])
        if len(self.last) > LAST:
            self._thin(self.last.popleft())

    def _thin(self, moment: Moment) -> None:
        self._count += 1
        if self._count % (2**self._stride) == 0:
            self.between.append(moment)
        if len(self.between) > BETWEEN:
            self.between = self.between[1::2]
            self._stride += 1

    @property
    def last_one(self) -> Moment | None:
        kept = self.last or self.first
        return kept[-1] if kept else None

    def forget_columns(self) -> None:
        """The parameters are others from now on."""
        self.first = [_without_columns(one) for one in self.first]
        self.last = deque(_without_columns(one) for one in self.last)

    def all(self) -> tuple[Moment, ...]:
        return (*self.first, *self.between, *self.last)


_WITHOUT = attrgetter(*(field.name for field in dataclasses.fields(Moment) if field.name not in COLUMNS))
"""The fields before the columns."""


def _without_columns(moment: Moment) -> Moment:
    if not moment.gradients:
        return moment
    return Moment(*_WITHOUT(moment))


def moment(
    step: int,
    parameters: Sequence[WatchedParameter],
    columns: Columns,
    lr: tuple[float, ...],
    loss: float | None,
    scale: float,
    clipped: float | None,
    skipped: bool,
) -> Moment:
    """The record of a step out of what was read of each parameter.

    Args:
        scale: what the gradients are still multiplied by.
    """
    gradients = columns.gradients
    if scale != 1.0:
        gradients = [None if one is None else one / scale for one in gradients]
    ratios = [ratio if size else None for ratio, size in zip(columns.ratios, gradients, strict=True)]
    known = [ratio for ratio, one in zip(ratios, parameters, strict=True) if ratio is not None and one.role in WEIGHTS]
    weighed = known if math.isfinite(sum(known)) else [ratio for ratio in known if not math.isnan(ratio)]
    gradient = math.sqrt(sum([one * one for one in gradients if one]))
    idle = sum(columns.idle)
    return Moment(
        step=step,
        lr=lr,
        gradient=gradient,
        weight=math.sqrt(sum([one * one for one in columns.weights])),
        slowest=min(weighed, default=None),
        median=median(weighed) if weighed else None,
        fastest=max(weighed, default=None),
        dead=idle / sum(one.rows for one in parameters) if idle else 0.0,
        loss=loss,
        clipped=clipped,
        nonfinite=0 if skipped or math.isfinite(gradient) else sum([not math.isfinite(one or 0.0) for one in gradients]),
        broken=_broken(parameters, columns, ratios),
        skipped=skipped,
        gradients=tuple(gradients),
        weights=tuple(columns.weights),
        ratios=tuple(ratios),
        along=tuple(columns.along),
        idle_rows=tuple(columns.idle),
        still=tuple(columns.still) if columns.still.count(None) < len(columns.still) else (),
    )


def _broken(parameters: Sequence[WatchedParameter], columns: Columns, ratios: Sequence[float | None]) -> tuple[int, ...]:
    """A wider type than float16 holds numbers whose squares are infinite; they are no Inf themselves."""
    if math.isfinite(sum([ratio or 0.0 for ratio in ratios])):
        return ()
    rows = enumerate(zip(ratios, columns.gradients, columns.weights, parameters, strict=True))
    return tuple(
        i
        for i, (ratio, gradient, weight, one) in rows
        if ratio is not None
        and math.isfinite(weight)
        and math.isfinite(gradient or 0.0)
        and (math.isnan(ratio) or (math.isinf(ratio) and one.dtype == "float16"))
    )
