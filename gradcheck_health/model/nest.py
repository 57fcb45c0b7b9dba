"""Nested values, as models take and return them: the tensors in them with the way to each, and copies with other tensors.

Three walks, because three things are asked: `leaves`, what a loss or a reader could name; `tensors`, whatever can be reached;
and `operand_tensors`, the arguments of one operation, where torch itself looks no deeper.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn

_DEPTH = 8
_OPERAND_DEPTH = 4
_HOLDERS = (tuple, list, dict, slice)


class Step(NamedTuple):
    """From a value to one that it holds."""

    key: Any
    """The key, index or attribute."""
    attribute: bool


@dataclasses.dataclass(frozen=True, slots=True)
class OutputTensor:
    """One tensor in a nest."""

    path: str
    """As one would write it behind the value: `.logits`, `[0]['boxes']`."""
    tensor: torch.Tensor

    @property
    def differentiable(self) -> bool:
        return self.tensor.requires_grad and (self.tensor.is_floating_point() or self.tensor.is_complex())


def leaves(value: Any) -> Iterator[OutputTensor]:
    """The tensors in any nest of tuples, lists, mappings, dataclasses and plain objects, with the way to reach each."""
    for steps, tensor in walk(value):
        yield OutputTensor("".join(f".{key}" if attribute else f"[{key!r}]" for key, attribute in steps), tensor)


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The same, and those in sets and private attributes (a distribution keeps some there)."""
    return (tensor for _, tensor in walk(value, everything=True))


def walk(value: Any, *, everything: bool = False) -> Iterator[tuple[tuple[Step, ...], torch.Tensor]]:
    """Every tensor with the steps that lead to it.

    Args:
        everything: also what stands in sets and private attributes.
    """
    if isinstance(value, torch.Tensor):
        yield (), value
        return
    stack: list[tuple[tuple[Step, ...], Iterator[tuple[Step, Any]]]] = [((), _inside(value, everything))]
    while stack:
        steps, children = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            continue
        step, item = child
        if isinstance(item, torch.Tensor):
            yield (*steps, step), item
        elif len(stack) < _DEPTH:
            stack.append(((*steps, step), _inside(item, everything)))


def _inside(value: Any, everything: bool) -> Iterator[tuple[Step, Any]]:
    if value is None or isinstance(value, str | bytes | int | float | nn.Module | type):
        return
    if isinstance(value, Mapping):
        named = dataclasses.is_dataclass(value)  # transformers' ModelOutput is both: the attribute is the shorter way
        yield from ((Step(key, named), item) for key, item in value.items())
    elif dataclasses.is_dataclass(value):
        yield from ((Step(field.name, True), getattr(value, field.name, None)) for field in dataclasses.fields(value))
    elif isinstance(value, tuple | list):
        fields = getattr(value, "_fields", None)
        yield from ((Step(fields[i], True) if fields else Step(i, False), item) for i, item in enumerate(value))
    elif everything and isinstance(value, set | frozenset):
        yield from ((Step(i, False), item) for i, item in enumerate(value))
    else:
        yield from ((Step(key, True), item) for key, item in _attributes(value) if everything or not key.startswith("_"))


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, by the name that a reader would use: that of a property, where it shows a private attribute."""
    cls = type(value)
    held = dict(getattr(value, "__dict__", {}))
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        mangled = (f"_{base.__name__.lstrip('_')}{name}" if name.startswith("__") else name for name in names)
        held |= {name: getattr(value, name) for name in mangled if hasattr(value, name)}
    for name, item in held.items():
        shown = name.removeprefix(f"_{cls.__name__.lstrip('_')}__").lstrip("_")
        yield (shown if isinstance(getattr(cls, shown, None), property) else name), item


def operand_tensors(value: Any, depth: int = 0) -> list[torch.Tensor]:
    """The tensors among the arguments, or the results, of one operation of torch: in tuples, lists, dicts and slices."""
    if isinstance(value, torch.Tensor):
        return [value]
    items: Iterable[Any] = ()
    if isinstance(value, slice):
        items = (value.start, value.stop, value.step)
    elif depth < _OPERAND_DEPTH:
        items = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    found: list[torch.Tensor] = []
    for item in items:  # most are numbers, and of every operation of a model they are asked for
        if isinstance(item, torch.Tensor):
            found.append(item)
        elif isinstance(item, _HOLDERS):
            found += operand_tensors(item, depth + 1)
    return found


def map_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same nest with every tensor changed; what holds none of them is shared."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, change) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(map_tensors(item, change) for item in value)
    if isinstance(value, dict):
        copied = {key: map_tensors(item, change) for key, item in value.items()}
        return copied if type(value) is dict else _like(value, copied)
    if isinstance(value, SimpleNamespace | UserDict) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return _record(value, change)
    return value


def fresh(value: Any) -> Any:
    """The same nest with every tensor cloned, so that a model that works in place cannot spoil the batch."""
    return map_tensors(value, lambda tensor: tensor.detach().clone().requires_grad_(tensor.requires_grad))


def _record(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A copy whose attributes are changed, made without its constructor."""
    copied = copy.copy(value)
    names = vars(value) if hasattr(value, "__dict__") else [field.name for field in dataclasses.fields(value)]
    for name in names:
        object.__setattr__(copied, name, map_tensors(getattr(value, name), change))  # it may be frozen
    return copied


def _like(value: dict[Any, Any], copied: dict[Any, Any]) -> Any:
    try:
        return type(value)(copied)
    except Exception:  # noqa: BLE001 - some mapping of the user's with a constructor of its own
        return copied
