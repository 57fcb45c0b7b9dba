"""The model and the process come back as they were, also when forward raises or Ctrl-C comes.

Everything is restored in place: identities, data pointers and bytes. Opaque Python objects, class attributes and global
counters of the user's code are out of reach here; the command line covers them by checking in a worker process.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from gradcheck_health.probe.process import process_guard


@contextlib.contextmanager
def sandbox(model: nn.Module) -> Iterator[None]:
    """Whatever the block does to `model` and to process-wide torch and Python state is undone.

    Inside the block every `.grad` starts as None. Extra memory: one copy of the tensors that the modules hold.
    """
    undo = contextlib.ExitStack()
    try:
        undo.enter_context(process_guard())
        memo: dict[int, Any] = {}
        for module in reachable_modules(model):
            undo.callback(_restore_module, *_save_module(module, memo))
        tensors = [saved for saved in memo.values() if isinstance(saved, _SavedTensor)]
        for saved in tensors:
            undo.callback(saved.restore)
        for saved in tensors:  # not before the way back is laid for all of them
            saved.detach_gradient()
        yield
    finally:
        with _interrupts_held():
            undo.close()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block is done: half a restore would leave an empty model."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, Any]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def reachable_modules(model: nn.Module) -> list[nn.Module]:
    """Registered modules, and those that hide in attributes, lists and dicts of modules (people do forget `ModuleList`)."""
    seen: dict[int, nn.Module] = {}
    stack: list[Any] = [*reversed(list(model.modules())), model]  # scripted modules keep theirs outside of vars()
    containers: set[int] = set()
    while stack:
        item = stack.pop()
        if isinstance(item, nn.Module):
            if id(item) not in seen:
                seen[id(item)] = item
                stack.extend(reversed(list(vars(item).values())))
        elif isinstance(item, dict | list | tuple | set | frozenset | deque) and id(item) not in containers:
            containers.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)
    return list(seen.values())


class _SavedTensor:
    """One tensor: identity, storage, bytes, flags and gradient."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self.cls = tensor, type(tensor)
        self.requires_grad, self.is_leaf = tensor.requires_grad, tensor.is_leaf
        self.uninitialized = isinstance(tensor, UninitializedParameter | UninitializedBuffer)
        self.alias = tensor.data
        self.copy = None if self.uninitialized or tensor.is_meta else self.alias.clone()
        self.grad = tensor.grad if self.is_leaf else None
        self.hooks: Any = tensor._post_accumulate_grad_hooks if self.is_leaf and self.requires_grad else None
        self.accumulated = dict(self.hooks) if self.hooks else None

    def detach_gradient(self) -> None:
        """Inside, `.grad` starts as None, and no hook of the user's (an optimizer in backward) runs on it."""
        if self.grad is not None:
            self.tensor.grad = None
        if self.accumulated:
            self.hooks.clear()  # autograd holds this very dict

    def restore(self) -> None:
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


def _save(value: Any, memo: dict[int, Any]) -> None:
    """Remember the contents of a tree of containers and tensors, each object once."""
    if id(value) in memo:
        return
    if isinstance(value, torch.Tensor):
        memo[id(value)] = _SavedTensor(value)
    elif isinstance(value, torch.Generator):
        memo[id(value)] = value.get_state()
    elif isinstance(value, dict):
        memo[id(value)] = dict(value)
        for item in list(value.values()):
            _save(item, memo)
    elif isinstance(value, list | set | deque):
        memo[id(value)] = list(value)
        for item in value:
            _save(item, memo)
    elif isinstance(value, tuple):
        for item in value:
            _save(item, memo)


def _restore(value: Any, memo: dict[int, Any], done: set[int]) -> None:
    if id(value) in done:
        return
    done.add(id(value))
    if isinstance(value, torch.Generator):
        value.set_state(memo[id(value)])
    elif isinstance(value, dict):
        saved = memo[id(value)]
        if _differs(value, saved):
            kind = OrderedDict if isinstance(value, OrderedDict) else dict  # a subclass may refuse to be changed
            kind.clear(value)
            kind.update(value, saved)
        for item in saved.values():
            _restore(item, memo, done)
    elif isinstance(value, list | set | deque):
        items = memo[id(value)]
        if len(value) != len(items) or any(a is not b for a, b in zip(value, items, strict=True)):
            value.clear()
            value.update(items) if isinstance(value, set) else value.extend(items)
        for item in items:
            _restore(item, memo, done)
    elif isinstance(value, tuple):
        for item in value:
            _restore(item, memo, done)


def _differs(now: dict[Any, Any], saved: dict[Any, Any]) -> bool:
    return len(now) != len(saved) or any(a is not b or now[a] is not saved[b] for a, b in zip(now, saved, strict=True))


def _save_module(module: nn.Module, memo: dict[int, Any]) -> tuple[nn.Module, type, dict[str, Any], dict[int, Any]]:
    saved = dict(vars(module))
    for value in (*saved.values(), *module._parameters.values(), *module._buffers.values()):
        _save(value, memo)
    return module, type(module), saved, memo


def _restore_module(module: nn.Module, cls: type, saved: dict[str, Any], memo: dict[int, Any]) -> None:
    if type(module) is not cls:
        module.__class__ = cls
    now = vars(module)
    if _differs(now, saved):
        now.clear()
        now.update(saved)
    done: set[int] = set()
    for value in saved.values():
        _restore(value, memo, done)
