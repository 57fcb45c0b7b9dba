"""Which parameters the optimizers of a track hold, how each is read, and what they hold that is none of the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from gradcheck_health.model.names import NamedParameter
from gradcheck_health.probe.training.observer import groups, held, keys
from gradcheck_health.probe.training.watching.reader import Reader, Watched
from gradcheck_health.records.history import WatchedParameter
from gradcheck_health.records.step import GroupTrace

EVIDENCE = 2
"""Steps without a gradient, after which a tensor that is not the model's counts as a stranger."""


BIASED = (
    "Linear",
    "NonDynamicallyQuantizableLinear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "RNN",
    "LSTM",
    "GRU",
    "MultiheadAttention",
)
"""Layers whose bias has an entry for each row of the weight: a gradient there shows that the unit is alive."""


class Layout:
    """Made at the first step, and again where a group was added."""

    def __init__(self, named: Sequence[NamedParameter], optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self._named, self._optimizers = named, optimizers
        self.parameters: tuple[WatchedParameter, ...] = ()
        self.groups: tuple[GroupTrace, ...] = ()
        self.readers: dict[int, list[Reader]] = {}
        """id of an optimizer -> one a device."""
        self._sizes: tuple[int, ...] = ()
        self._places: dict[int, int] = {}
        self._idle: dict[int, tuple[int, torch.Size]] = {}

    def changed(self) -> bool:
        return self._now() != self._sizes

    def _now(self) -> tuple[int, ...]:
        return tuple([len(group["params"]) for one in self._optimizers for group in one.param_groups])

    def make(self) -> None:
        known = {id(entry.tensor): entry for entry in self._named}
        found: list[WatchedParameter] = []
        self.readers, self._places, first = {}, {}, 0
        for optimizer in self._optimizers:
            by_device: dict[torch.device, dict[int, torch.Tensor]] = {}
            own = {id(p) for p in held(optimizer)}
            position = 0
            for number, group in enumerate(optimizer.param_groups):
                for tensor in group["params"]:
                    position += 1
                    if id(tensor) not in own or not tensor.numel() or tensor.layout != torch.strided:
                        continue
                    entry = known.get(id(tensor))
                    made = _described(tensor, entry, f"{type(optimizer).__name__}[{position - 1}]", first + number)
                    self._places[id(tensor)] = len(found)
                    by_device.setdefault(tensor.device, {})[len(found)] = tensor
                    found.append(made)
            self.readers[id(optimizer)] = [Reader(_together(one, found)) for one in by_device.values()]
            first += len(optimizer.param_groups)
        self.parameters, self.groups, self._sizes = tuple(found), groups(self._optimizers, self._named), self._now()

    def place_of(self, tensor: torch.Tensor | None) -> int | None:
        return self._places.get(id(tensor))

    def look_for_strangers(self) -> None:
        """Tensors that are none of the model's and have no gradient at this step."""
        known = {key for entry in self._named for key in keys(entry.tensor)}
        for optimizer in self._optimizers:
            for tensor in held(optimizer):
                if known.isdisjoint(keys(tensor)) and tensor.grad is None:
                    self._idle[id(tensor)] = (self._idle.get(id(tensor), (0, tensor.shape))[0] + 1, tensor.shape)

    def strangers(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(shape) for count, shape in self._idle.values() if count >= EVIDENCE)


def _together(tensors: Mapping[int, torch.Tensor], described: Sequence[WatchedParameter]) -> list[Watched]:
    """Place -> tensor, of one device: how each is read, with the bias of its layer among them."""
    at = {described[place].name: i for i, place in enumerate(tensors)}
    watched = []
    for place, tensor in tensors.items():
        row = described[place]
        layer, dot, key = row.name.rpartition(".")
        bias = at.get(f"{layer}{dot}{key.replace('weight', 'bias')}") if row.rows and row.kind in BIASED else None
        watched.append(Watched(place, tensor, row.role, row.rows, bias))
    return watched


def _described(tensor: torch.Tensor, entry: NamedParameter | None, otherwise: str, group: int) -> WatchedParameter:
    role = "vector" if entry is None else entry.role
    followed = role == "weight" and tensor.dim() >= 2 and len(tensor) > 1 and not tensor.is_complex()
    return WatchedParameter(
        name=otherwise if entry is None else entry.name,
        kind="" if entry is None else entry.kind,
        role=role,
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape),
        group=group,
        rows=len(tensor) if followed else 0,
    )
