"""Restoring the saved contents of dicts, lists, sets and slots, by functions (object, contents) that change what differs."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any
from weakref import ref

from torch import nn

UNSET = object()
"""The content of a slot that has none."""


def all_back(ways: Iterable[tuple[Callable[[Any, Any], Any], Any, Any]], errors: list[Exception]) -> None:
    """Restore one object after another, whatever one of them raises; the errors are appended."""
    for back, value, saved in ways:
        try:
            back(value, saved)
        except Exception as error:  # noqa: BLE001 - a class of the user's
            errors.append(error)


def dict_back(value: dict[Any, Any], saved: dict[Any, Any]) -> None:
    kind = OrderedDict if isinstance(value, OrderedDict) else dict  # a subclass may refuse to be changed
    keys = list(kind.keys(value))
    if not all(map(is_, keys, saved)) or len(keys) < len(saved):
        kind.clear(value)
        kind.update(value, saved)
        return
    # where nothing went and nothing moved, another thread that reads it shall not find it empty
    for key in keys[len(saved) :]:
        kind.__delitem__(value, key)
    if not all(map(is_, kind.values(value), saved.values())):
        for key, held in saved.items():
            kind.__setitem__(value, key, held)


def items_back(value: list[Any] | set[Any] | deque[Any], saved: list[Any]) -> None:
    if len(value) != len(saved) or any(a is not b for a, b in zip(value, saved, strict=True)):
        value.clear()
        value.update(saved) if isinstance(value, set) else value.extend(saved)


def weak_back(value: dict[Any, Any] | set[Any], saved: Any) -> None:
    """The table of a weak container; who has died meanwhile stays away."""
    if isinstance(value, set):
        items_back(value, [one for one in saved if one() is not None])
    else:
        pairs = saved.items()
        dict_back(value, {key: held for key, held in pairs if _alive(key) and _alive(held)})


def _alive(one: Any) -> bool:
    return not isinstance(one, ref) or one() is not None


def class_back(module: nn.Module, cls: type) -> None:
    if type(module) is not cls:
        object.__setattr__(module, "__class__", cls)  # past a `__setattr__` of its own, which may refuse


def attributes_back(cls: type, saved: dict[str, Any]) -> None:
    """What stands in a class."""
    now = {name: held for name, held in vars(cls).items() if not name.startswith("__")}
    for name in now.keys() - saved.keys():
        type.__delattr__(cls, name)
    for name, held in saved.items():
        if name not in now or now[name] is not held:
            type.__setattr__(cls, name, held)


def global_back(place: tuple[dict[str, Any], str], saved: Any) -> None:
    """A name in a module of the user's."""
    space, name = place
    if saved is UNSET:
        space.pop(name, None)
    elif space.get(name, UNSET) is not saved:
        space[name] = saved


def bytes_back(value: Any, saved: bytes) -> None:
    """Of a bytearray, an array of numbers or a memoryview."""
    if bytes(value) != saved:
        if isinstance(value, memoryview):
            value.cast("B")[:] = saved
        elif isinstance(value, bytearray):
            value[:] = saved
        else:
            del value[:]
            value.frombytes(saved)


def stream_back(value: Any, saved: tuple[int, Any]) -> None:
    """A stream in memory, or the position in a file that is read."""
    position, content = saved
    if value.closed:
        return
    if content is not None and value.getvalue() != content:
        value.seek(0)
        value.truncate()
        value.write(content)
    if value.tell() != position:
        value.seek(position)


def iterator_back(value: Any, saved: int) -> None:
    """An iterator over a list, tuple, range or str, which can say how far it has come."""
    if value.__reduce__()[2:3] != (saved,):
        value.__setstate__(saved)


def array_back(value: Any, saved: Any) -> None:
    if value.flags.writeable and (value.dtype.hasobject or value.tobytes() != saved.tobytes()):
        value[...] = saved


def bits_back(bits: Any, state: Any) -> None:
    bits.state = state


def content_back(cell: Any, content: Any) -> None:
    cell.cell_contents = content


def content_of(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return UNSET


def read(slot: Any, value: Any) -> Any:
    try:
        return slot.__get__(value)
    except AttributeError:
        return UNSET


def slot_back(place: tuple[Any, Any], saved: Any) -> None:
    slot, value = place
    if read(slot, value) is saved:
        return
    if saved is UNSET:
        slot.__delete__(value)
    else:
        slot.__set__(value, saved)
