"""Saving the contents of objects and restoring them in place: identities, data pointers and bytes stay.

What can be saved is what a module refers to: tensors, generators, arrays, containers, modules, their classes, and as far as
there is room plain Python objects and functions. The inside of compiled objects is opaque.
"""

from __future__ import annotations

import contextlib
import math
import random
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.sandbox import put_back as put
from gradcheck_health.model.sandbox.dense import TENSORS
from gradcheck_health.model.sandbox.garbage import collector_paused
from gradcheck_health.model.sandbox.ownership import ATOMS, descriptors, is_apart, is_persons, is_record
from gradcheck_health.model.sandbox.saved_tensor import SavedTensor, plainly
from gradcheck_health.model.sandbox.small_tensors import PlainTensors

ROOM = 50_000
"""How many things are followed from plain objects; each 4 KiB of a tensor count for one."""
_PAGE = 4096
_PLAIN = frozenset((type(None), str, int, float, bool))
"""Most of what hangs on a module is one of these, which need no way back of their own."""
_DICTS = frozenset((dict, OrderedDict))


class Snapshot:
    """All that some objects refer to, each thing once; equal copies are shared with the snapshot `around` this one."""

    def __init__(self, around: Snapshot | None = None) -> None:
        self._around = around
        self._saved: dict[int, SavedTensor] = {}
        self._plain: PlainTensors = PlainTensors(None if around is None else around._plain)
        self._found: list[torch.Tensor] = []
        """Tensors that have been come across and are to be remembered together."""
        self._empty: list[dict[Any, Any]] = []
        """A module has a dozen of them, for hooks."""
        self._ways_back: list[tuple[Callable[[Any, Any], Any], Any, Any]] = []
        """(how, what, the contents it had); tuples, because a large model has a hundred thousand of them."""
        self._ways: dict[type, Callable[[Snapshot, Any], Iterable[Any]] | None] = {} if around is None else around._ways
        """Class -> how its objects are remembered."""
        self._kinds: set[type] = set()
        self._slots_of: dict[type, tuple[Any, ...]] = {}
        self._seen: dict[int, Any] = {}
        """Holds the objects, too: an id is unique only while its object lives."""
        self._apart: list[Any] = []
        """Plain objects, whose insides come last: they may lead far."""

    def remember(self, roots: Iterable[Any]) -> None:
        with collector_paused():
            self._follow(list(roots), math.inf)
            for tensor in self._plain.take(self._found):
                self._tensor(tensor)
            room: float = ROOM
            for value in self._apart:  # grows meanwhile
                if room <= 0:
                    break
                room = self._follow([*self._inside(value)], room)

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
                continue
            if cls not in ways:
                ways[cls] = self._way(value)
            way = ways[cls]
            if way is None or id(value) in seen:
                continue
            seen[id(value)] = value
            if room != math.inf:
                room -= 1 if way is not Snapshot._tensor else 1 + _size(value) // _PAGE
            if room > 0:
                stack.extend(way(self, value))
        return room

    def restore(self) -> None:
        """Restore everything, whatever one of the objects raises; then raise the first error."""
        errors: list[Exception] = []
        for content in self._empty:
            if content:
                content.clear()
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
            (torch.Generator, Snapshot._generator),
            (random.Random, Snapshot._python_generator),
            (weakref.WeakSet | weakref.WeakKeyDictionary | weakref.WeakValueDictionary, Snapshot._weak),
        ):
            if isinstance(value, kinds):
                return way
        if is_record(value):
            return Snapshot._inside
        return self._numpy(value) or (Snapshot._later if isinstance(value, FunctionType) or is_apart(value) else None)

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
                yield from (held for held in attributes.values() if not isinstance(held, FunctionType))

    def _items(self, value: Any) -> Iterable[Any]:
        saved = list(value)
        self._ways_back.append((put.items_back, value, saved))
        return saved

    def _generator(self, value: torch.Generator) -> tuple[()]:
        self._ways_back.append((torch.Generator.set_state, value, value.get_state()))
        return ()

    def _python_generator(self, value: random.Random) -> tuple[()]:
        if not isinstance(value, random.SystemRandom):
            self._ways_back.append((random.Random.setstate, value, value.getstate()))
        return ()

    def _weak(self, value: Any) -> tuple[()]:
        self._ways_back.append((put.weak_back, value.data, value.data.copy()))
        return ()

    def _numpy(self, value: Any) -> Callable[[Snapshot, Any], Iterable[Any]] | None:
        if (numpy := sys.modules.get("numpy")) is None:
            return None
        if isinstance(value, numpy.ndarray):
            return Snapshot._array
        if isinstance(value, numpy.random.Generator | numpy.random.RandomState):
            return Snapshot._numpy_generator
        return None

    def _array(self, value: Any) -> Iterable[Any]:
        self._ways_back.append((put.array_back, value, value.copy()))
        return value.flat if value.dtype.hasobject and value.dtype.names is None else ()

    def _numpy_generator(self, value: Any) -> tuple[()]:
        bits = getattr(value, "bit_generator", None) or value._bit_generator
        self._ways_back.append((put.bits_back, bits, bits.state))
        return ()

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
                yield from self._cell(cell)
        else:
            yield from self._slots(value)

    def _cell(self, cell: CellType) -> Iterator[Any]:
        try:
            content = cell.cell_contents
        except ValueError:  # not filled yet
            return
        self._ways_back.append((put.content_back, cell, content))
        yield content

    def _slots(self, value: Any) -> Iterator[Any]:
        """The contents of `__slots__`, which `vars` does not show."""
        cls = type(value)
        if cls not in self._slots_of:
            self._slots_of[cls] = tuple(descriptors(cls))
        for slot in self._slots_of[cls]:
            content = put.read(slot, value)
            self._ways_back.append((put.slot_back, (slot, value), content))
            yield content


def _size(tensor: torch.Tensor) -> int:
    """Bytes, where it can say so."""
    return tensor.nbytes if tensor.layout == torch.strided and not is_lazy(tensor) and not tensor.is_nested else 0
