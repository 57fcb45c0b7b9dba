"""What operations save for backward, and who writes into it afterwards.

The hooks of saved tensors see every value when it is saved and when it is needed. Each of the two times it has a version, which
torch counts up with every write in place; a value of another version than it had was written over in between.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_health.model.nest import operand_tensors
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.records.writes import Clobbered

Spot = tuple[str, str, str | None]
"""Operation, layer, `file:line`."""


@dataclass(slots=True)
class _Saved:
    values: torch.Tensor
    version: int
    spot: Spot
    writes: int
    """So many writes were known when it was saved."""


class SavedValues:
    """Told of every operation by the dataflow; inside `watching()` it sees what the graph saves and asks for."""

    def __init__(self) -> None:
        self.clobbered: list[Clobbered] = []
        self._new: list[_Saved] = []
        """Saved by the operation that is running."""
        self._writes: list[tuple[int, Spot]] = []
        """Address of a storage, and what wrote there, in order."""
        self._versions: dict[int, tuple[torch.Tensor, int]] = {}
        """Address -> a tensor that keeps it, and its version when it was seen last."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._save, self._need):
            yield

    def observe(self, func: Any, args: Any, kwargs: Any, out: Any, layer: str) -> None:
        """One call of a torch function, after it."""
        spot = (func.__name__, layer, user_line())
        for saved in self._new:
            saved.spot = spot
        self._new.clear()
        for tensor in (*operand_tensors(args), *operand_tensors(tuple(kwargs.values())), *operand_tensors((out,))):
            address = _address(tensor)
            if address == 0:
                continue
            version = tensor._version
            known = self._versions.get(address)
            if known is not None and version > known[1]:
                self._writes.append((address, spot))
            self._versions[address] = (tensor, version)

    def _save(self, tensor: torch.Tensor) -> _Saved:
        version = 0 if tensor.is_inference() else tensor._version
        saved = _Saved(tensor, version, ("", "", user_line()), len(self._writes))
        self._new.append(saved)
        if (address := _address(tensor)) and address not in self._versions:
            self._versions[address] = (tensor, version)
        return saved

    def _need(self, saved: _Saved) -> torch.Tensor:
        if not saved.values.is_inference() and saved.values._version != saved.version:
            address = _address(saved.values)
            later = (spot for at, spot in self._writes[saved.writes :] if at == address)
            op, layer, source = next(later, ("an operation that was not seen", "", None))
            self.clobbered.append(Clobbered(op, layer, source, *saved.spot, tuple(saved.values.shape)))
        return saved.values


def _address(tensor: torch.Tensor) -> int:
    """Of its storage; 0 where there is none."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_inference():
        return 0
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError, ValueError):  # a subclass without values
        return 0
