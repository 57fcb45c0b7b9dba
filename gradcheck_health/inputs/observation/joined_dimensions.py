"""Dimensions of tensors that are made of several arguments: sums of sizes behind a concatenation, and batches side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_health.inputs.plan import Path

Entry = tuple[Path, int]
"""An axis of an argument."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A size that is put together from those of arguments."""

    terms: tuple[tuple[Entry, int], ...]
    """Axes of arguments, and how often each occurs."""
    rest: int
    """What the others contribute."""


INSERTED = Sum((), 1)
"""An axis that the model itself added."""


def concatenated(args: Any, kwargs: Any, layouts: list[Any], out: torch.Tensor) -> Any:
    """The layout of a concatenation; None where it is not known.

    Args:
        layouts: of the tensors that are put together, in order; None for those that no argument is in.
    """
    parts = args[0] if args else kwargs.get("tensors")
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
    known = next((layout for layout in layouts if layout is not None), None)
    if known is None or not isinstance(dim, int) or not -out.dim() <= dim < out.dim() or len(parts) != len(layouts):
        return None
    dim %= out.dim()
    terms: dict[Entry, int] = {}
    rest = 0
    for part, layout in zip(parts, layouts, strict=True):
        entry = layout[dim] if layout is not None and len(layout) == out.dim() else None
        rest += _add(terms, entry, part.shape[dim] if part.dim() == out.dim() else 0)
    merged = [
        next((layout[i] for layout in layouts if layout is not None and layout[i] is not None), None) for i in range(out.dim())
    ]
    merged[dim] = Sum(tuple(terms.items()), rest) if terms else None
    return tuple(merged)


def _add(terms: dict[Entry, int], entry: Any, size: int) -> int:
    """Counts a part of the sum; returns what it contributes besides axes of arguments."""
    if isinstance(entry, Sum):
        for axis, times in entry.terms:
            terms[axis] = terms.get(axis, 0) + times
        return entry.rest
    if entry is None:
        return size
    terms[entry] = terms.get(entry, 0) + 1
    return 0


def merged(operands: list[tuple[torch.Tensor, Any]], out: torch.Tensor) -> Any:
    """The layout of what is computed element by element of several operands: an axis is that of an operand of its shape."""
    whole = [layout for tensor, layout in operands if layout is not None and tensor.shape == out.shape]
    if not whole:
        return None
    return tuple(next((layout[i] for layout in whole if layout[i] is not None), None) for i in range(out.dim()))


def crossed(operands: list[tuple[torch.Tensor, Any]], batch: int) -> bool:
    """Whether the batch of one operand meets another axis of the other, so that every sample meets every other."""
    if len(operands) != 2:
        return False
    (a, one), (b, other) = operands
    if one is None or other is None:
        return False
    here, there = _batch_at(a, one, batch), _batch_at(b, other, batch)
    if here is None or there is None or here == there:
        return False
    # what was given an axis of one entry on purpose compares all pairs: of one argument, or of two that both were
    inserted = [_single(a, one, there), _single(b, other, here)]
    return not (all(inserted) or any(inserted) and _paths(one) == _paths(other))


PRODUCTS = ("matmul", "__matmul__", "bmm", "mm")


def multiplied(operands: list[tuple[torch.Tensor, Any]], batch: int) -> bool:
    """Whether a product of two operands that both come from arguments runs over the batch of one, or pairs their batches."""
    if len(operands) != 2:
        return False
    (a, one), (b, other) = operands
    here = _batch_at(a, one, batch) if one is not None else None
    there = _batch_at(b, other, batch) if other is not None else None
    return here == 1 or there in (1, 2) or here is not None and there is not None and here != there


def _batch_at(tensor: torch.Tensor, layout: Any, batch: int) -> int | None:
    """Where its batch is, counted from the right."""
    at = [
        tensor.dim() - i
        for i, entry in enumerate(layout)
        if isinstance(entry, tuple) and entry[1] == 0 and tensor.shape[i] == batch
    ]
    return at[0] if len(at) == 1 else None


def _paths(layout: Any) -> set[Path]:
    return {entry[0] for entry in layout if isinstance(entry, tuple)}


def _single(tensor: torch.Tensor, layout: Any, place: int) -> bool:
    """An axis of one entry that the model itself has inserted there."""
    return place <= tensor.dim() and layout[tensor.dim() - place] == INSERTED
