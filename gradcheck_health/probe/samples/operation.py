"""Where the samples lie in a tensor, and a call of an operation whose operands are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


class Unproven(Exception):
    """Samples may meet here."""


@dataclass(frozen=True, slots=True)
class Along:
    """The samples lie along `axis`, `inner` neighbouring entries of it each: [B * heads, T, D] has heads entries a sample."""

    axis: int
    inner: int = 1


JOINED = Along(-1, 0)
"""Of a tensor in which samples may have met."""
Answer = Along | None | Sequence[Along | None]
"""None: the same whatever the samples are. A sequence: one for each result."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A call whose operands are known."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    out: Any
    known: Mapping[int, Along]
    """id of each operand that depends on the samples."""
    batch: int

    def get(self, position: int, name: str, default: Any = None) -> Any:
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def of(self, tensor: Any) -> Along | None:
        return self.known.get(id(tensor))

    def input(self) -> tuple[torch.Tensor, Along]:
        """The first argument, where no other depends on the samples."""
        tensor = self.get(0, "input")
        along = self.of(tensor)
        if along is None or len(self.known) > 1:
            raise Unproven
        return tensor, along


def dims_of(value: Any, rank: int) -> set[int]:
    """Axes as they are written in a call, each at least 0.

    Raises:
        Unproven: none, or something else than numbers.
    """
    found = (value,) if type(value) is int else value
    if not isinstance(found, tuple | list) or not found or not all(type(one) is int for one in found):
        raise Unproven
    return {one % rank for one in found}
