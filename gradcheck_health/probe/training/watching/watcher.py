"""Hooks on a loop that is the user's: on the steps of its optimizers, and on the calls of its model. Nothing is replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.names import NamedParameter, named_parameters
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.training.observer import held, keys
from gradcheck_health.probe.training.watching.calls import Calls
from gradcheck_health.probe.training.watching.idle_parts import UNTIL, IdleParts
from gradcheck_health.probe.training.watching.tracker import Tracker
from gradcheck_health.records.history import History, Moment

MANY = 4
"""More optimizers than this, of one or two tensors each, are one optimizer that steps inside of backward."""
EVIDENCE = 2
"""Steps with a gradient, after which a parameter that no optimizer holds counts as left out."""


class Watcher:
    """Hands each step to `saw`, with what was measured of it; `start` and `stop`, and in between the loop does what it does."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        saw: Callable[[Tracker, Moment | None], None],
        thrown_away: Callable[[], None],
        *,
        every: int = 10,
        dense: int = 100,
        scaler: Any = None,
        named: Sequence[NamedParameter] | None = None,
    ) -> None:
        self.model, self.optimizers = model, tuple(optimizers)
        self._saw = saw
        known = named_parameters(unwrap(model)) if named is None else named
        self._named = [entry for entry in known if not is_lazy(entry.tensor)]
        joint = len(optimizers) > MANY and all(len(held(one)) <= 2 for one in optimizers)
        sets = [self.optimizers] if joint else [(one,) for one in self.optimizers]
        self.trackers = [Tracker(self._named, one, every, dense, scaler, thrown_away) for one in sets]
        self.calls = Calls(model, self._own_loss)
        self._idle_parts = IdleParts(model)
        self.gaps: list[str] = []
        self._handles: list[Any] = []
        self._given = False
        """The loop hands over its loss itself."""
        self._losses: list[Any] = []
        self._left_out: dict[str, int] = {}
        self._evaluated = 0
        self._modal = tuple(dict.fromkeys(type(one).__name__ for one in model.modules() if _modal(one)))

    def start(self) -> None:
        for tracker in self.trackers:
            tracker.passes.start()
            for optimizer in tracker.optimizers:
                turn = _Turn(self, tracker)
                self._handles.append(optimizer.register_step_pre_hook(turn.begin))
                self._handles.append(optimizer.register_step_post_hook(turn.end))
        self.calls.start()

    def stop(self) -> None:
        while self._handles:
            self._handles.pop().remove()
        for tracker in self.trackers:
            tracker.passes.stop()
        self.calls.stop()
        self._idle_parts.stop()

    def loss(self, value: Any) -> None:
        """The loss of the step that comes next."""
        self._given = True
        self._losses.append(value)

    def history(self) -> History:
        left_out = tuple(name for name, count in self._left_out.items() if count >= EVIDENCE)
        return History(
            model=type(unwrap(self.model)).__name__,
            tracks=tuple([tracker.record() for tracker in self.trackers]),
            left_out=left_out,
            gap=bool(left_out) and self._behind_trained(left_out),
            evaluated=self._evaluated,
            modal=self._modal,
            frozen=sum(not entry.tensor.requires_grad for entry in self._named),
            gaps=tuple(self.gaps),
        )

    def _behind_trained(self, names: tuple[str, ...]) -> bool:
        trained = {id(p) for one in self.optimizers for p in held(one)}
        first = next((i for i, entry in enumerate(self._named) if id(entry.tensor) in trained), len(self._named))
        return any(entry.name in names for entry in self._named[first:])

    def _own_loss(self, value: Any) -> None:
        if not self._given:
            self._losses.append(value)

    def with_closure(self, args: Any, kwargs: Any) -> Any:
        """The arguments of a step; the loss is what a closure among them returns at its first call."""
        place = next((i for i, one in enumerate(args) if i and callable(one)), None)
        closure = kwargs.get("closure") if place is None else args[place]
        if not callable(closure) or self._given:
            return None
        seen: list[Any] = []

        def watched(*inner: Any, **named: Any) -> Any:
            value = closure(*inner, **named)
            if not seen:
                seen.append(value)
                self._losses = [value]
            return value

        if place is None:
            return args, {**kwargs, "closure": watched}
        return (*args[:place], watched, *args[place + 1 :]), kwargs

    def stepped(self, tracker: Tracker, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer has taken a step."""
        with torch._C.DisableTorchFunction():  # no subclass and no mode of the user's is asked
            for value in self._losses:
                tracker.losses.add(value)
            self._losses.clear()
            moment = tracker.end(optimizer)
        self._evaluated += not self.model.training
        if tracker.steps <= EVIDENCE:
            self._look_for_left_out()
        if tracker.steps <= UNTIL:
            self._idle_parts.stepped(tracker)
        if moment is not None or self.calls.armed:
            self._saw(tracker, moment)

    def _look_for_left_out(self) -> None:
        trained = {key for one in self.optimizers for p in held(one) for key in keys(p)}
        for entry in self._named:
            if entry.tensor.requires_grad and entry.tensor.grad is not None and trained.isdisjoint(keys(entry.tensor)):
                self._left_out[entry.name] = self._left_out.get(entry.name, 0) + 1


class _Turn:
    """The steps of one optimizer. A subclass whose step calls the step of its base fires every hook twice."""

    def __init__(self, watcher: Watcher, tracker: Tracker) -> None:
        self._watcher, self._tracker = watcher, tracker
        self._depth = self._passes = 0

    def begin(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
        if self._depth and self._passes != self._tracker.passes.backwards:
            self._depth = 0  # the step before raised, and the loop has gone on
        self._depth += 1
        if self._depth > 1:
            return None
        self._passes = self._tracker.passes.backwards
        if self._tracker.measures_next:
            with torch._C.DisableTorchFunction():
                self._tracker.begin(optimizer)
        return self._watcher.with_closure(args, kwargs) if kwargs or len(args) > 1 else None

    def end(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._watcher.stepped(self._tracker, optimizer)
        elif self._depth < 0:  # the watching began in the middle of this step
            self._depth = 0


def _modal(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
