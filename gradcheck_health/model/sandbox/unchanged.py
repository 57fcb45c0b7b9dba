"""Whether objects still lead where they led when a snapshot was taken: then nothing is followed again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any

import torch

from gradcheck_health.model.sandbox import put_back as put

_Way = tuple[Callable[[Any, Any], Any], Any, Any]


def unchanged(empty: Iterable[dict[Any, Any]], tensors: Iterable[torch.Tensor], ways_back: Iterable[_Way]) -> bool:
    """Dicts are as empty as they were, tensors without hooks, and to put the rest back would change nothing.

    False, too, where names alone do not say that (generators, arrays, streams).
    """
    if any(empty) or any(tensor._backward_hooks for tensor in tensors):
        return False
    return all((same := _SAME.get(back)) is not None and same(value, saved) for back, value, saved in ways_back)


def _same_dict(value: dict[Any, Any], saved: dict[Any, Any]) -> bool:
    kind = OrderedDict if isinstance(value, OrderedDict) else dict  # a subclass may compute what it shows
    if kind.__len__(value) != len(saved):
        return False
    return all(map(is_, kind.keys(value), saved)) and all(map(is_, kind.values(value), saved.values()))


def _same_attributes(cls: type, saved: dict[str, Any]) -> bool:
    return _same_dict({name: held for name, held in vars(cls).items() if not name.startswith("__")}, saved)


_SAME: dict[Callable[[Any, Any], Any], Callable[[Any, Any], bool]] = {
    put.dict_back: _same_dict,
    put.items_back: lambda value, saved: len(value) == len(saved) and all(map(is_, value, saved)),
    put.class_back: lambda module, cls: type(module) is cls,
    put.attributes_back: _same_attributes,
    put.global_back: lambda place, saved: place[0].get(place[1], put.UNSET) is saved,
    put.content_back: lambda cell, content: put.content_of(cell) is content,
    put.slot_back: lambda place, saved: put.read(*place) is saved,
}
"""Of the ways back that may lead to other objects."""
