"""Everything about a model and the process that a check could leave changed, independent of the code that puts it back.

    before = Fingerprint.of(model)
    ...
    assert before.differences(Fingerprint.of(model)) == []

It follows whatever Python can follow: attributes, slots, containers, closures, classes, and the inside of objects that the
sandbox does not promise to restore.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import hashlib
import itertools
import random
import sys
import weakref
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO, StringIO
from types import BuiltinFunctionType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from tests.model.leftovers.process import settings

_ATOMS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout, torch.Size)
_APART = (ModuleType, BuiltinFunctionType, MemberDescriptorType, property, classmethod, staticmethod)


@dataclass(frozen=True)
class Fingerprint:
    """Path -> what was there."""

    entries: dict[str, Any]
    held: list[Any]
    """What was seen: an id is unique only while its object lives."""

    @classmethod
    def of(cls, *roots: Any) -> Fingerprint:
        """Of a model, of further objects (what it keeps outside of itself), and of the process."""
        walk = _Walk()
        for number, root in enumerate(roots):
            walk.follow("model" if number == 0 else f"also[{number}]", root)
        return cls(walk.entries | {f"process.{name}": value for name, value in settings().items()}, list(walk.seen.values()))

    def differences(self, after: Fingerprint) -> list[str]:
        """Paths where something is there no more, is new, or is different."""
        paths = [*self.entries, *(path for path in after.entries if path not in self.entries)]
        gone = object()
        return [path for path in paths if not _same(self.entries.get(path, gone), after.entries.get(path, gone))]


def _same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b) if isinstance(a, float) else bool(a == b)  # nan is itself


class _Walk:
    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.seen: dict[int, Any] = {}
        self._open: list[tuple[str, Any]] = []

    def follow(self, path: str, root: Any) -> None:
        self._open.append((path, root))
        while self._open:
            at, value = self._open.pop()
            if isinstance(value, _ATOMS):
                self.entries[at] = (type(value).__name__, repr(value) if isinstance(value, float | complex) else value)
            elif id(value) in self.seen:
                self.entries[at] = ("seen", id(value))
            else:
                self.seen[id(value)] = value
                self.entries[at] = (type(value), id(value), self._inside(at, value))

    def _inside(self, at: str, value: Any) -> Any:
        """What is to be compared of the object itself; its parts are followed later."""
        if isinstance(value, torch.Tensor):
            return self._tensor(at, value)
        if isinstance(value, type):
            return None
        if isinstance(value, weakref.ref):
            return id(value())  # of None, where it is dead
        if isinstance(value, FunctionType):
            self._parts(at, {"()": value.__dict__, "(defaults)": value.__defaults__, "(named defaults)": value.__kwdefaults__})
            self._parts(at, {f"(closure {i})": _content(cell) for i, cell in enumerate(value.__closure__ or ())})
            return id(value.__code__)
        if isinstance(value, MethodType):
            self._parts(at, {".__self__": value.__self__})
            return value.__name__
        if isinstance(value, _APART):
            return None
        told = self._container(at, value)
        if isinstance(value, nn.Module):
            self._module(at, value)
        self._parts(at, {f".{name}": part for name, part in _attributes(value)})
        return told if told is not None else _state(value)

    def _container(self, at: str, value: Any) -> Any:
        if isinstance(value, dict):
            items = list(dict.items(value))
            self._parts(at, {f"[{_key(key)}]": item for key, item in items})
            self._parts(at, {f"[key {i}]": key for i, (key, _) in enumerate(items) if not isinstance(key, _ATOMS)})
            return [_key(key) for key, _ in items]
        if isinstance(value, list | tuple | collections.deque):
            items = list(tuple.__iter__(value) if isinstance(value, tuple) else value)
            self._parts(at, {f"[{i}]": item for i, item in enumerate(items)})
            return len(items), getattr(value, "maxlen", None)
        if isinstance(value, set | frozenset):
            items = sorted(value, key=_key)
            self._parts(at, {f"[{_key(item)}]": item for item in items})
            return [_key(item) for item in items]
        return None

    def _module(self, at: str, module: nn.Module) -> None:
        """A scripted module keeps its tensors and children outside of `vars`; a class of a person's may be written to."""
        self._parts(at, {f".{name}": value for name, value in module.named_parameters(recurse=False)})
        self._parts(at, {f".{name}": value for name, value in module.named_buffers(recurse=False)})
        self._parts(at, {f".{name}": value for name, value in module.named_children()})
        for cls in type(module).__mro__:
            if cls.__module__.partition(".")[0] not in {"torch", *sys.stdlib_module_names}:
                held = {name: value for name, value in vars(cls).items() if not name.startswith("__")}
                self._parts(f"{at}<{cls.__name__}>", {f".{name}": value for name, value in held.items()})

    def _tensor(self, at: str, tensor: torch.Tensor) -> Any:
        with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            flags = (tensor.requires_grad, tensor.is_leaf, tensor.is_inference(), tensor.dtype, tensor.device, tensor.layout)
            hooks = {"._backward_hooks": tensor._backward_hooks}
            if tensor.is_leaf:
                hooks[".grad"] = tensor.grad
                if tensor.requires_grad:
                    hooks["._post_accumulate_grad_hooks"] = tensor._post_accumulate_grad_hooks
            self._parts(at, {**hooks, **{f".{name}": value for name, value in _attributes(tensor)}})
            return flags, _values(tensor)

    def _parts(self, at: str, parts: dict[str, Any]) -> None:
        self._open += [(f"{at}{name}", part) for name, part in parts.items()]


def _values(tensor: torch.Tensor) -> Any:
    """Shape, place and bytes of a tensor of any layout."""
    if is_lazy(tensor):
        return "uninitialized"
    if tensor.layout in (torch.sparse_coo, torch.sparse_csr):
        coo = tensor.layout is torch.sparse_coo
        parts = (tensor._indices(), tensor._values()) if coo else (tensor.crow_indices(), tensor.col_indices(), tensor.values())
        return (tuple(tensor.shape), *map(_values, parts))
    if tensor.is_meta or type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return tuple(tensor.shape), tensor.stride()  # what a wrapper wraps is among its attributes
    if tensor.is_nested:
        return _bytes(tensor.values() if tensor.layout is torch.jagged else tensor)
    scale = (tensor.q_scale(), tensor.q_zero_point()) if _per_tensor(tensor) else None
    place = (tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.is_conj(), tensor.is_neg())
    return place, tensor.data_ptr(), scale, _bytes(tensor)


def _bytes(tensor: torch.Tensor) -> tuple[int, str]:
    """Address and digest of the whole storage, also of what lies beside a view."""
    storage = tensor.untyped_storage()
    raw = ctypes.string_at(storage.data_ptr(), storage.nbytes())  # numpy() would make it one that cannot be resized
    return storage.data_ptr(), hashlib.blake2b(raw, digest_size=16).hexdigest()


def _per_tensor(tensor: torch.Tensor) -> bool:
    return tensor.is_quantized and tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric)


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Of `__dict__` and of `__slots__`; nothing is asked of the object's own `__getattr__`."""
    with contextlib.suppress(AttributeError, TypeError):
        yield from object.__getattribute__(value, "__dict__").items()
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            # how a functools.partial is called is the interpreter's own affair, and settled at its first call
            if name == "__vectorcalloffset__":
                continue
            if isinstance(member, MemberDescriptorType) and cls.__module__ not in ("builtins", "torch._C"):
                try:
                    yield name, member.__get__(value)
                except (AttributeError, TypeError):  # not set
                    continue


def _state(value: Any) -> Any:
    """What an object of a compiled type says of its inside."""
    if isinstance(value, torch.Generator):
        return hashlib.blake2b(value.get_state().numpy()).hexdigest()
    if isinstance(value, random.Random):
        return hash(value.getstate())
    if isinstance(value, itertools.count | itertools.cycle | bytearray | array | range | slice):
        return repr(value)
    if isinstance(value, BytesIO | StringIO):
        return value.tell(), value.getvalue()
    if hasattr(value, "gi_frame"):
        return None if value.gi_frame is None else value.gi_frame.f_lasti
    if hasattr(value, "__length_hint__"):
        return value.__length_hint__()
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(value, numpy.ndarray):
        return (
            value.shape,
            value.strides,
            value.ctypes.data,
            value.flags.writeable,
            hashlib.blake2b(value.tobytes()).hexdigest(),
        )
    if isinstance(value, numpy.random.Generator | numpy.random.RandomState):
        state = value.bit_generator.state if isinstance(value, numpy.random.Generator) else value.get_state()
        return repr(state)
    return None


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _key(key: Any) -> str:
    return repr(key) if isinstance(key, _ATOMS) else f"<{type(key).__name__} {id(key)}>"
