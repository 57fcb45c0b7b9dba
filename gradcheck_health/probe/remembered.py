"""The contents of objects, remembered and put back in place: identities, data pointers and bytes stay.

What can be remembered is what a module holds in its attributes: tensors, generators, numpy arrays, containers, other modules,
and plain records (dataclasses, namespaces, user dicts). Other objects are opaque.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import MemberDescriptorType, SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

_ATOMS = (type(None), str, int, float, bool, complex, bytes, type)


class Memory:
    """What hangs on some objects, each thing once."""

    def __init__(self) -> None:
        self.tensors: list[SavedTensor] = []
        self._ways_back: list[tuple[Callable[[Any, Any], Any], Any, Any]] = []
        """(how, what, the contents it had); tuples, because a large model has a hundred thousand of them."""

    def remember(self, roots: Iterable[Any]) -> None:
        back = self._ways_back
        seen: dict[int, Any] = {}  # holds the objects, too: an id is unique only while its object lives
        stack = list(roots)
        while stack:
            value = stack.pop()
            if isinstance(value, _ATOMS) or id(value) in seen:
                continue
            seen[id(value)] = value
            if isinstance(value, dict):
                back.append((_put_dict, value, dict(value)))
                stack.extend(value.values())
            elif isinstance(value, torch.Tensor):
                self.tensors.append(SavedTensor(value))
                stack.append(vars(value))
            elif isinstance(value, nn.Module):
                back.append((_put_class, value, type(value)))
                # a scripted module keeps its tensors outside of vars()
                stack += (vars(value), *value._parameters.values(), *value._buffers.values(), *self._slots(value))
            elif isinstance(value, list | set | deque):
                back.append((_put_items, value, list(value)))
                stack.extend(value)
            elif isinstance(value, tuple):
                stack.extend(tuple.__iter__(value))  # a subclass may refuse to tell its length
            elif isinstance(value, frozenset):
                stack.extend(value)
            elif isinstance(value, torch.Generator):
                back.append((torch.Generator.set_state, value, value.get_state()))
            elif _is_record(value):
                stack += (vars(value), *self._slots(value))
            elif _is_array(value):
                back.append((_put_array, value, value.copy()))

    def restore(self) -> None:
        """Everything, whatever one of the objects says to it; then the first error is raised."""
        errors: list[Exception] = []
        for put, value, saved in (*((SavedTensor.restore, saved, None) for saved in self.tensors), *reversed(self._ways_back)):
            try:
                put(value, saved)
            except Exception as error:  # noqa: BLE001 - a class of the user's
                errors.append(error)
        if errors:
            raise errors[0]

    def _slots(self, value: Any) -> Iterator[Any]:
        """The contents of `__slots__`, which `vars` does not show."""
        for slot in _descriptors(type(value)):  # type: ignore[arg-type] # a class is hashable
            try:
                content = slot.__get__(value)
            except AttributeError:  # not set
                continue
            self._ways_back.append((slot.__set__, value, content))
            yield content


@cache
def _descriptors(cls: type) -> tuple[Any, ...]:
    return tuple(
        member
        for owner in cls.__mro__
        if "__slots__" in vars(owner)
        for member in vars(owner).values()
        if isinstance(member, MemberDescriptorType)
    )


def _put_dict(value: dict[Any, Any], saved: dict[Any, Any]) -> None:
    if len(value) != len(saved) or any(a is not b or value[a] is not saved[b] for a, b in zip(value, saved, strict=True)):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict  # a subclass may refuse to be changed
        kind.clear(value)
        kind.update(value, saved)


def _put_items(value: list[Any] | set[Any] | deque[Any], saved: list[Any]) -> None:
    if len(value) != len(saved) or any(a is not b for a, b in zip(value, saved, strict=True)):
        value.clear()
        value.update(saved) if isinstance(value, set) else value.extend(saved)


def _put_class(module: nn.Module, cls: type) -> None:
    if type(module) is not cls:
        module.__class__ = cls


def _put_array(value: Any, saved: Any) -> None:
    if value.flags.writeable and value.tobytes() != saved.tobytes():
        value[...] = saved


def _is_record(value: Any) -> bool:
    plain = isinstance(value, SimpleNamespace | UserDict | UserList) or dataclasses.is_dataclass(value)
    return plain and hasattr(value, "__dict__")


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject


class SavedTensor:
    """One tensor: identity, storage, bytes, flags, hooks and gradient."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.cls = tensor, type(tensor)
        self.requires_grad, self.is_leaf = tensor.requires_grad, tensor.is_leaf
        self.uninitialized = isinstance(tensor, UninitializedParameter | UninitializedBuffer)
        self.alias = tensor.data
        self.copy = None if self.uninitialized or tensor.is_meta else self.alias.clone()
        self.grad = tensor.grad if self.is_leaf else None
        self.hooks: Any = tensor._post_accumulate_grad_hooks if self.is_leaf and self.requires_grad else None
        self.accumulated = dict(self.hooks) if self.hooks else None
        self.backward_hooks: Any = tensor._backward_hooks
        self.registered = None if self.backward_hooks is None else dict(self.backward_hooks)

    def detach_gradient(self) -> None:
        """Inside, `.grad` starts as None, and no hook of the user's (an optimizer in backward) runs on it."""
        if self.grad is not None:
            self.tensor.grad = None
        if self.accumulated:
            self.hooks.clear()  # autograd holds this very dict

    def restore(self, _: None = None) -> None:
        tensor = self.tensor
        with torch.no_grad(), torch._C.DisableTorchFunction():
            if type(tensor) is not self.cls:  # a lazy parameter that was materialised
                tensor.__class__ = self.cls
            if self.uninitialized or not _same_storage(tensor, self.alias):
                tensor.data = self.alias
            if self.copy is not None and not _identical(self.alias, self.copy):
                self.alias.copy_(self.copy)
            if self.is_leaf:
                if tensor.requires_grad != self.requires_grad and tensor.is_leaf:
                    tensor.requires_grad_(self.requires_grad)
                if tensor.grad is not self.grad:
                    tensor.grad = self.grad
                if self.accumulated:
                    self.hooks.update(self.accumulated)
            self._restore_backward_hooks()

    def _restore_backward_hooks(self) -> None:
        if self.tensor._backward_hooks is not self.backward_hooks:
            self.tensor._backward_hooks = self.backward_hooks
        if self.registered is not None and dict(self.backward_hooks) != self.registered:
            self.backward_hooks.clear()
            self.backward_hooks.update(self.registered)


def _same_storage(tensor: torch.Tensor, alias: torch.Tensor) -> bool:
    if tensor.layout != torch.strided or alias.layout != torch.strided:
        return tensor.layout == alias.layout
    same = tensor.shape == alias.shape and tensor.dtype == alias.dtype and tensor.device == alias.device
    return same and tensor.stride() == alias.stride() and tensor.data_ptr() == alias.data_ptr()


def _identical(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout != torch.strided or a.is_quantized or a.is_nested:
        return False  # cheap to copy back, awkward to compare
    try:
        return torch.equal(a, b)
    except (RuntimeError, NotImplementedError):  # a type without arithmetic
        return False
