"""Saving the contents of objects and restoring them in place: identities, data pointers and bytes stay.

What can be saved is what a module refers to: tensors, generators, arrays, containers, modules, their classes, and as far as
there is room plain Python objects and functions. The inside of compiled objects is opaque.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import ChainMap, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from queue import Queue
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.sandbox import global_names
from gradcheck_health.model.sandbox import put_back as put
from gradcheck_health.model.sandbox.contents import protocol
from gradcheck_health.model.sandbox.dense import TENSORS, size
from gradcheck_health.model.sandbox.garbage import collector_paused
from gradcheck_health.model.sandbox.lasting import MOVING, how_far, name_of
from gradcheck_health.model.sandbox.ownership import ATOMS, descriptors, is_apart, is_persons, is_record, plain_function
from gradcheck_health.model.sandbox.saved_tensor import SavedTensor, plainly
from gradcheck_health.model.sandbox.small_tensors import PlainTensors
from gradcheck_health.model.sandbox.unchanged import unchanged

ROOM = 50_000
"""How many things are followed from plain objects; each 4 KiB of a tensor count for one."""
_PAGE = 4096
_PLAIN = frozenset((type(None), str, int, float, bool))  # most of what hangs on a module; no way back of their own
_DICTS = frozenset((dict, OrderedDict))


class Snapshot:
    """All that some objects refer to, each thing once; equal copies are shared with the snapshot `around` this one."""

    def __init__(self, around: Snapshot | None = None) -> None:
        self._around = around
        self._roots: list[int] = []
        self._saved: dict[int, SavedTensor] = {}
        self._plain: PlainTensors = PlainTensors(None if around is None else around._plain)
        self._found: list[torch.Tensor] = []  # to be remembered together
        self._empty: list[dict[Any, Any]] = []  # a module has a dozen of them, for hooks
        self._ways_back: list[tuple[Callable[[Any, Any], Any], Any, Any]] = []
        """(how, what, the contents it had); tuples, because a large model has a hundred thousand of them."""
        # class -> how its objects are remembered
        self._ways: dict[type, Callable[[Snapshot, Any], Iterable[Any]] | None] = {} if around is None else around._ways
        self._moving: list[tuple[Any, Any]] = []  # iterators that cannot be put back, and how far they had come
        self._protocols: dict[type, Callable[[Any], Any]] = {} if around is None else around._protocols
        self._kinds: set[type] = set()
        self._slots_of: dict[type, tuple[Any, ...]] = {}
        self._seen: dict[int, Any] = {}
        """Holds the objects, too: an id is unique only while its object lives."""
        self._apart: list[Any] = []  # plain objects, whose insides come last: they may lead far

    def remember(self, roots: Sequence[Any]) -> None:
        with collector_paused():
            self._roots = list(map(id, roots))
            if self._around is not None and self._share(self._around):
                return
            self._follow(list(roots), math.inf)
            for tensor in self._plain.take(self._found):
                self._tensor(tensor)
            room: float = ROOM
            for value in self._apart:  # grows meanwhile
                if room <= 0:
                    break
                room = self._follow([*self._inside(value)], room)

    def _share(self, around: Snapshot) -> bool:
        """Where no object leads elsewhere than when `around` was taken, what it found is found: only bytes are read again."""
        if self._roots != around._roots or not unchanged(around._empty, around._found, around._ways_back):
            return False
        self._empty, self._ways_back, self._seen, self._found = around._empty, around._ways_back, around._seen, around._found
        self._moving = [(value, how_far(value)) for value, _ in around._moving]
        tensors = {id(tensor): tensor for tensor in (*around._found, *(saved.tensor for saved in around._saved.values()))}
        for tensor in self._plain.take(tensors.values()):
            self._tensor(tensor)
        return True

    def detach_gradients(self) -> None:
        """From now on every `.grad` is None, and no hook of the user's runs on one."""
        self._plain.detach_gradients()
        for saved in self._saved.values():
            saved.detach_gradient()

    def _follow(self, stack: list[Any], room: float) -> float:
        """Save all that the stack leads to, within `room`; the commonest first: empty dicts (hooks), plain tensors."""
        seen, ways = self._seen, self._ways
        while stack and room > 0:
            value = stack.pop()
            cls = type(value)
            if cls in _DICTS and not value:
                self._empty.append(value)
                continue
            if cls in TENSORS and room == math.inf:
                if id(value) not in seen:
                    seen[id(value)] = value
                    self._found.append(value)
                    stack.append(vars(value))
                    if value._backward_hooks:
                        stack.extend(value._backward_hooks.values())
                continue
            if cls not in ways:
                ways[cls] = self._way(value)
            way = ways[cls]
            if way is None or id(value) in seen:
                continue
            seen[id(value)] = value
            if room != math.inf:
                room -= 1 if way is not Snapshot._tensor else 1 + size(value) // _PAGE
            if room > 0:
                stack.extend(way(self, value))
        return room

    def restore(self) -> None:
        """Restore everything, whatever one of the objects raises; then raise the first error."""
        errors: list[Exception] = []
        for filled in filter(None, self._empty):
            filled.clear()
        tensors = ((SavedTensor.put_back, saved, None) for saved in self._saved.values())
        with plainly():
            self._plain.put_back(errors)
            put.all_back(tensors, errors)
        put.all_back(reversed(self._ways_back), errors)
        if errors:
            raise errors[0]

    def _way(self, value: Any) -> Callable[[Snapshot, Any], Iterable[Any]] | None:
        """How objects of this type are remembered; returns what hangs on them."""
        if isinstance(value, ATOMS):
            return None
        for kinds, way in (
            (dict, Snapshot._dict),
            (torch.Tensor, Snapshot._tensor),
            (nn.Module, Snapshot._module),
            (list | set | deque, Snapshot._items),
            (tuple, lambda _, value: tuple.__iter__(value)),  # a subclass may refuse to tell its length
            (frozenset, lambda _, value: value),
            (MOVING, Snapshot._iterator),
            (Queue | ChainMap | threading.local, lambda _, value: (vars(value),)),
            (BuiltinMethodType, lambda _, value: (value.__self__,)),
        ):
            if isinstance(value, kinds):
                return way
        if is_record(value):
            return Snapshot._inside
        if (remember := protocol(value)) is not None:
            self._protocols[type(value)] = remember
            return Snapshot._content
        return Snapshot._later if isinstance(value, FunctionType) or is_apart(value) else None

    def _dict(self, value: dict[Any, Any]) -> Iterable[Any]:
        kind = OrderedDict if isinstance(value, OrderedDict) else dict  # a subclass may compute what it shows
        saved = dict(kind.items(value))
        self._ways_back.append((put.dict_back, value, saved))
        found = [held for held in saved.values() if type(held) not in _PLAIN]
        return found if type(value) in _DICTS or not hasattr(value, "__dict__") else [*found, vars(value)]

    def _tensor(self, value: torch.Tensor) -> Iterable[Any]:
        self._saved[id(value)] = SavedTensor(value, None if self._around is None else self._around._saved.get(id(value)))
        return (vars(value),)

    def _module(self, value: nn.Module) -> Iterable[Any]:
        kind = type(value)
        self._ways_back.append((put.class_back, value, kind))
        # a scripted module keeps its tensors outside of vars()
        found = [vars(value), *value._parameters.values(), *value._buffers.values(), *self._slots(value)]
        if kind not in self._kinds:
            self._kinds.add(kind)
            found += self._classes(kind)
        return found

    def _classes(self, kind: type) -> Iterator[Any]:
        """The attributes of the user's own classes."""
        for cls in kind.__mro__:
            if id(cls) not in self._seen and is_persons(cls):
                self._seen[id(cls)] = cls
                attributes = {name: held for name, held in vars(cls).items() if not name.startswith("__")}
                self._ways_back.append((put.attributes_back, cls, attributes))
                yield from map(plain_function, attributes.values())

    def _items(self, value: Any) -> Iterable[Any]:
        saved = list(value)
        self._ways_back.append((put.items_back, value, saved))
        return saved

    def _content(self, value: Any) -> Iterable[Any]:
        """What leads nowhere, but for an array of objects."""
        way = self._protocols[type(value)](value)
        if way is not None:
            self._ways_back.append(way)
        objects = getattr(getattr(value, "dtype", None), "hasobject", False) and value.dtype.names is None
        return value.flat if objects else ()

    def _iterator(self, value: Any) -> tuple[()]:
        self._moving.append((value, how_far(value)))
        return ()

    def moved(self) -> list[str]:
        """What has moved on and stays there."""
        return sorted({name_of(value) for value, before in self._moving if how_far(value) != before})

    def _later(self, value: Any) -> tuple[()]:
        if is_apart(value):  # of functions, each for itself
            self._apart.append(value)
        return ()

    def _inside(self, value: Any) -> Iterator[Any]:
        """Attributes of an object, or what a function has closed over."""
        if isinstance(value, MethodType | partial):
            yield from (value.__self__,) if isinstance(value, MethodType) else (value.func, value.args, value.keywords)
            return
        with contextlib.suppress(TypeError):  # slots alone
            yield vars(value)
        if isinstance(value, FunctionType):
            yield value.__defaults__
            yield value.__kwdefaults__
            for cell in value.__closure__ or ():
                if (content := put.content_of(cell)) is not put.UNSET:
                    self._ways_back.append((put.content_back, cell, content))
                    yield content
            if global_names.is_own(value.__code__):
                yield from self._globals(value)
        else:
            yield from self._classes(type(value))
            yield from self._slots(value)

    def _globals(self, function: FunctionType) -> Iterator[Any]:
        space = function.__globals__
        for name in global_names.written(function):
            self._ways_back.append((put.global_back, (space, name), space.get(name, put.UNSET)))
        for value in global_names.values(function):
            yield from self._classes(value) if isinstance(value, type) else (value,)

    def _slots(self, value: Any) -> Iterator[Any]:
        """The contents of `__slots__`, which `vars` does not show."""
        cls = type(value)
        if cls not in self._slots_of:
            self._slots_of[cls] = tuple(descriptors(cls))
        for slot in self._slots_of[cls]:
            content = put.read(slot, value)
            self._ways_back.append((put.slot_back, (slot, value), content))
            yield content
