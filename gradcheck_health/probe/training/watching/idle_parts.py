"""Which parts of a model are never called while their siblings are: experts that a router does not choose."""

from __future__ import annotations

from typing import Any

from torch import nn

from gradcheck_health.model.tree import named_modules
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.training.watching.tracker import Tracker

FROM, UNTIL = 12, 20
"""Steps of a track between which calls are watched, where parameters had no gradient until then."""


class IdleParts:
    """Hooks on the parts around parameters without a gradient, for a few steps."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(named_modules(unwrap(model)))
        self._handles: dict[int, list[Any]] = {}
        self._called: set[int] = set()

    def stop(self) -> None:
        for handles in self._handles.values():
            for handle in handles:
                handle.remove()
        self._handles.clear()

    def stepped(self, tracker: Tracker) -> None:
        if tracker.steps == FROM and tracker.missing:
            parts = {
                id(one): one
                for place in tracker.missing
                for parent in self._around(tracker, place)
                for one in parent.children()
            }
            self._handles[id(tracker)] = [one.register_forward_pre_hook(self._note) for one in parts.values()]
        elif tracker.steps == UNTIL and id(tracker) in self._handles:
            for handle in self._handles.pop(id(tracker)):
                handle.remove()
            tracker.uncalled = tuple(place for place in sorted(tracker.missing) if self._passed_over(tracker, place))

    def _note(self, module: nn.Module, _: Any) -> None:
        self._called.add(id(module))

    def _around(self, tracker: Tracker, place: int) -> list[nn.Module]:
        """The modules that the parameter lies in, from the outermost."""
        path = tracker.layout.parameters[place].name.split(".")[:-1]
        found = [self._modules.get(".".join(path[:end])) for end in range(len(path) + 1)]
        return [one for one in found if one is not None]

    def _passed_over(self, tracker: Tracker, place: int) -> bool:
        """One of the modules around it was not called, and another of its class in the same list was."""
        around = self._around(tracker, place)
        for parent, child in zip(around, around[1:], strict=False):
            twins = [one for one in parent.children() if type(one) is type(child) and id(one) in self._called]
            if isinstance(parent, nn.ModuleList | nn.ModuleDict) and id(child) not in self._called and twins:
                return True
        return False
