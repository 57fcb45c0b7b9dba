"""The steps of one optimizer, or of several that act as one: counted at every step, measured at some, kept as a `Track`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

import torch

from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.training.observer import held
from gradcheck_health.probe.training.watching import buffers
from gradcheck_health.probe.training.watching.layout import EVIDENCE, Layout
from gradcheck_health.probe.training.watching.losses import Losses
from gradcheck_health.probe.training.watching.moments import Kept, moment
from gradcheck_health.probe.training.watching.passes import Passes
from gradcheck_health.probe.training.watching.reader import Columns, Reader
from gradcheck_health.records.history import Moment, Track

AGAIN = 20
"""Steps that are all measured after a jump of the learning rate, or where a group was added."""
LOW = 1e-4
"""A learning rate at or below this share of its largest trains nothing."""
POWER = 1e-4
"""Relative distance from a power of two at which a change of the gradient is a scaler's, and no clipping."""


class Tracker:
    """`begin` and `end` stand around each step of each of its optimizers."""

    def __init__(
        self,
        named: Sequence[NamedParameter],
        optimizers: Sequence[torch.optim.Optimizer],
        every: int,
        dense: int,
        scaler: Any,
        thrown_away: Callable[[], None],
    ) -> None:
        self.optimizers = tuple(optimizers)
        self._every, self._dense, self._scaler = every, dense, scaler
        self.layout = Layout(named, optimizers)
        roles = {id(entry.tensor): entry.role for entry in named}
        tensors = [p for one in optimizers for p in held(one)]
        self.passes = Passes(tensors, [roles.get(id(p), "vector") for p in tensors], thrown_away)
        self._kept, self.losses = Kept(), Losses()
        self.steps = self._skipped = self._empty = self._undone = 0
        self.layout.make()
        self.missing = set(range(len(self.layout.parameters)))
        self.uncalled: tuple[int, ...] = ()
        self._rates: tuple[float, ...] = ()
        self._largest: list[float] = []
        self._lowest: list[int] = []
        self._stepped: set[int] = set()
        """Optimizers that have had their turn in this round."""
        self._spoiled: tuple[tuple[int, str], ...] = ()
        self._unread: list[tuple[Reader, list[torch.Tensor]]] = []
        self.measures_next = dense > 0 or every == 1

    def begin(self, optimizer: torch.optim.Optimizer) -> None:
        """Before a step that is to be measured: copy a sample of its weights."""
        if self.layout.changed():
            self.layout.make()
            self._kept.forget_columns()
            self.missing = set(range(len(self.layout.parameters)))
        for reader in self.layout.readers[id(optimizer)]:
            reader.before()

    def end(self, optimizer: torch.optim.Optimizer) -> Moment | None:
        """After a step; the moment, where the last optimizer of a round was measured."""
        if self.measures_next:
            self._unread += [(reader, reader.after()) for reader in self.layout.readers[id(optimizer)]]
        if len(self.optimizers) > 1:
            self._stepped.add(id(optimizer))
            if len(self._stepped) < len(self.optimizers):
                return None
            self._stepped.clear()
        self.steps += 1
        if self._unread and buffers.read_at(self.steps):
            self._spoiled = tuple(
                [one for other in self.optimizers for one in buffers.nonfinite(other, self.layout.readers[id(other)])]
            )
        self.losses.before_step(self.steps)
        self._follow_rates()
        found = self._measured(optimizer) if self._unread else None
        if self.steps <= EVIDENCE:
            self.layout.look_for_strangers()
        self.measures_next = self.steps < self._dense or (self.steps + 1) % self._every == 0
        self.passes.stepped(self.measures_next)
        return found

    def record(self) -> Track:
        """Everything so far."""
        if self.losses.waiting():
            self.losses.read([values[0] for values in transfer(self.losses.waiting())])
        elif self.losses.unread:
            self.losses.read([])
        return Track(
            groups=self.layout.groups,
            parameters=self.layout.parameters,
            moments=self._kept.all(),
            steps=self.steps,
            skipped=self._skipped,
            backwards=self.passes.backwards,
            discarded=self.passes.discarded,
            uncleared=self.passes.uncleared,
            empty=self._empty,
            undone=self._undone,
            lowest_lr=tuple(self._lowest),
            missing=tuple(sorted(self.missing)),
            uncalled=self.uncalled,
            losses=self.losses.all(),
            largest_lr=tuple(self._largest),
            strangers=self.layout.strangers(),
            spoiled=self._spoiled,
        )

    def _measured(self, optimizer: torch.optim.Optimizer) -> Moment:
        """The one transfer to the host."""
        extra = {
            "scale": getattr(optimizer, "grad_scale", None),  # of a fused optimizer, whose gradients are scaled still
            "left": getattr(optimizer, "found_inf", None),
            "arrived": self.passes.arrived,
            "loss_scale": getattr(self._scaler, "_scale", None),
        }
        scalars = {name: value for name, value in extra.items() if isinstance(value, torch.Tensor)}
        waiting = self.losses.waiting()
        rows = [row for _, found in self._unread for row in found]
        numbers = transfer([*rows, *scalars.values(), *waiting])
        read = [(reader, *reader.columns(list(islice(numbers, len(found))))) for reader, found in self._unread]
        self._unread.clear()
        undone = all(again for _, _, again in read)
        columns = read[0][1] if len(read) == 1 else _in_order([(reader, found) for reader, found, _ in read])
        value = {name: next(numbers)[0] for name in scalars}
        self.losses.read([next(numbers)[0] for _ in waiting])
        scale, skipped = value.get("scale", 1.0), value.get("left", 0.0) != 0
        clipped = self._clipped(columns, value.get("arrived"), scale, value.get("loss_scale", 1.0))
        parameters = self.layout.parameters
        made = moment(self.steps, parameters, columns, self._rates, self.losses.latest, scale, clipped, skipped)
        self._follow(made, undone)
        self._kept.add(made)
        return made

    def _follow(self, made: Moment, undone: bool) -> None:
        """What is counted over measured steps."""
        last = self._kept.last_one
        moved = last is not None and bool(last.fastest)
        self._undone = self._undone + 1 if undone and moved else 0
        ran = self.passes.since_step > 0
        self._empty = self._empty + 1 if ran and made.gradient == 0 else 0
        self._skipped = self._skipped + 1 if made.skipped else 0
        self.missing -= {i for i, one in enumerate(made.gradients) if one is not None}

    def _clipped(self, columns: Columns, arrived: float | None, scale: float, loss_scale: float) -> float | None:
        """How much smaller the followed weight's gradient was when it was applied than when it had arrived."""
        place = self.layout.place_of(self.passes.followed)
        applied = None if place is None else columns.gradients[place]
        if not arrived or not applied or not math.isfinite(arrived) or not math.isfinite(applied):
            return None
        share = applied / arrived
        if scale == 1.0:  # unscaled between the two
            share *= loss_scale
        power = 2.0 ** round(math.log2(share))
        return 1.0 if abs(share / power - 1) < POWER and power < 0.5 else share

    def _follow_rates(self) -> None:
        given = [group.get("lr", math.nan) for one in self.optimizers for group in one.param_groups]
        if all(type(lr) is float for lr in given) and tuple(given) == self._rates and not any(self._lowest):
            return
        now: list[float] = []
        for i, lr in enumerate(given):
            known = self._rates[i] if i < len(self._rates) else math.nan
            if isinstance(lr, torch.Tensor):
                lr = float(lr) if self._unread else known  # a learning rate on the device is fetched at measured steps only
            now.append(float(lr))
        if len(now) != len(self._largest):
            self._largest, self._lowest = list(now), [0] * len(now)
        jumped = any(b > 2 * a > 0 for a, b in zip(self._rates, now, strict=False))
        if self._rates and (jumped or len(now) != len(self._rates)):
            self._dense = max(self._dense, self.steps + AGAIN)
        for i, lr in enumerate(now):
            self._largest[i] = max(self._largest[i], lr)
            self._lowest[i] = self._lowest[i] + 1 if lr <= LOW * self._largest[i] else 0
        self._rates = tuple(now)


def _in_order(read: Sequence[tuple[Reader, Columns]]) -> Columns:
    """The columns of several readers as one, in the order of the track."""
    places = [one.place for reader, _ in read for one in reader.watched]
    order = sorted(range(len(places)), key=places.__getitem__)
    joined = [[value for _, found in read for value in found[k]] for k in range(len(Columns._fields))]
    return Columns(*[[column[i] for i in order] for column in joined])  # type: ignore[arg-type]


def transfer(rows: Sequence[torch.Tensor]) -> Iterator[list[float]]:
    """Each as a list of numbers: one transfer, where they lie together."""
    flat = [one.detach().reshape(-1) for one in rows]
    if len({one.device for one in flat}) > 1:
        return iter([one.tolist() for one in flat])
    if len({one.dtype for one in flat}) > 1:
        flat = [one.double() for one in flat]
    numbers, ends = torch.cat(flat).tolist(), accumulate(map(len, flat))
    return iter([numbers[end - len(one) : end] for one, end in zip(flat, ends, strict=True)])
