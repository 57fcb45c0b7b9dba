"""One tensor of any kind, put back in place: identity, storage, bytes, flags, hooks and gradient."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from gradcheck_health.model.sandbox.dense import TENSORS

_SAMPLE = 256
"""Entries of a parameter that an inner sandbox compares."""


class SavedGradient:
    """`.grad` of a leaf, and the hooks that run when it has arrived (an optimizer in backward is one)."""

    def __init__(self, leaf: torch.Tensor) -> None:
        self.leaf = leaf
        self.grad = leaf.grad
        self.hooks: Any = leaf._post_accumulate_grad_hooks if leaf.requires_grad else None
        self.registered = dict(self.hooks) if self.hooks is not None else {}

    def detach(self) -> None:
        """From now on `.grad` is None, and none of the hooks runs."""
        if self.grad is not None:
            self.leaf.grad = None
        if self.registered:
            self.hooks.clear()  # autograd holds this very dict

    def restore(self) -> None:
        leaf = self.leaf
        if leaf.grad is not self.grad:
            leaf.grad = self.grad
        if not leaf.requires_grad:
            return
        if leaf._post_accumulate_grad_hooks is not self.hooks:
            leaf._post_accumulate_grad_hooks = self.hooks or {}  # None alone would not stop the new ones
            leaf._post_accumulate_grad_hooks = self.hooks
        if self.hooks is not None and self.hooks != self.registered:
            self.hooks.clear()
            self.hooks.update(self.registered)


class SavedTensor:
    """A tensor as it was when this was made.

    Args:
        earlier: the same tensor as a sandbox around this one knows it: equal copies are shared. Of a parameter that is inside
            such a sandbox autograd's count of changes and a sample of the entries are believed: writing to a few entries of
            `.data` gets round them, until the outer sandbox compares all bytes.
    """

    def __init__(self, tensor: torch.Tensor, earlier: SavedTensor | None = None) -> None:
        self.tensor, self.cls = tensor, type(tensor)
        with torch._C.DisableTorchFunctionSubclass():
            self.requires_grad, self.is_leaf = tensor.requires_grad, tensor.is_leaf
            self.uninitialized = isinstance(tensor, UninitializedParameter | UninitializedBuffer)
            self.alias = None if _is_wrapper(tensor) else tensor.data
            parts = () if self.uninitialized or self.alias is None or tensor.is_meta else _parts(self.alias)
            self.version = _version(tensor)
            self.counted = earlier is not None and type(tensor) is nn.Parameter
            if earlier is not None and self.counted and self._as_in(earlier):
                self.parts: list[tuple[torch.Tensor, int, torch.Tensor]] = earlier.parts
            else:
                known = [] if earlier is None else [copy for _, _, copy in earlier.parts]
                self.parts = [(part, _room(part), _copy(part, known[i : i + 1])) for i, part in enumerate(parts)]
            self.gradient = SavedGradient(tensor) if self.is_leaf else None
            self.backward_hooks: Any = tensor._backward_hooks
            self.registered = None if self.backward_hooks is None else dict(self.backward_hooks)

    def _as_in(self, earlier: SavedTensor) -> bool:
        """Nothing was written to it since, as far as autograd knows and a sample shows."""
        if self.alias is None or earlier.alias is None or not same_storage(self.alias, earlier.alias):
            return False
        return self.version == earlier.version is not None and all(
            _seem_identical(part, copy) for part, _, copy in earlier.parts
        )

    def detach_gradient(self) -> None:
        """Inside, `.grad` starts as None, and no hook of the user's runs on it."""
        if self.gradient is not None:
            self.gradient.detach()

    def restore(self) -> None:
        with plainly():
            self.put_back()

    def put_back(self, _: None = None) -> None:
        """`restore` for many of them, under one `plainly()`."""
        tensor = self.tensor
        if type(tensor) is not self.cls:  # a lazy parameter that was materialised
            tensor.__class__ = self.cls
        if self.alias is not None and (self.uninitialized or not same_storage(tensor, self.alias)):
            tensor.data = self.alias
        for part, size, copy in self.parts:
            if resized := _room(part) != size:  # which nobody counts
                part.untyped_storage().resize_(size)
            believed = self.counted and not resized and self.version == _version(tensor) is not None
            if not (believed and _seem_identical(part, copy)) and not _identical(part, copy):
                part.copy_(copy)
        if self.is_leaf:
            to_leaf(tensor, self.requires_grad)
        if self.gradient is not None:
            self.gradient.restore()
        self._restore_backward_hooks()
        if self.version is not None and self.version != _version(tensor):
            set_versions([tensor], [self.version])

    def _restore_backward_hooks(self) -> None:
        if self.tensor._backward_hooks is not self.backward_hooks:
            self.tensor._backward_hooks = self.backward_hooks
        if self.registered is not None and dict(self.backward_hooks) != self.registered:
            self.backward_hooks.clear()
            self.backward_hooks.update(self.registered)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """No graph is built, and no subclass is asked."""
    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():
        yield


def to_leaf(tensor: torch.Tensor, requires_grad: bool) -> None:
    """Out of the graph that an operation in place has put it into (`self.state.copy_(out)`), with its flag as it was."""
    if not tensor.is_leaf:
        with contextlib.suppress(RuntimeError):  # of a view nobody can
            tensor.detach_()
    if tensor.is_leaf and tensor.requires_grad != requires_grad:
        tensor.requires_grad_(requires_grad)


def set_versions(tensors: Sequence[torch.Tensor], versions: Sequence[int]) -> None:
    """Say how often they were changed: their bytes are what they were, so a graph that saved them still holds."""
    torch._C._autograd._unsafe_set_version_counter(tuple(tensors), tuple(versions))


def _seem_identical(a: torch.Tensor, b: torch.Tensor) -> bool:
    """A sample of their entries is the same: most of what a model does to `.data` does it to all of it."""
    if not (_dense(a) and _dense(b)):
        return False
    step = a.numel() // _SAMPLE | 1
    return torch.equal(a.view(-1)[::step], b.view(-1)[::step])


def _version(tensor: torch.Tensor) -> int | None:
    """How often autograd saw it change; None where that is not counted."""
    return None if tensor.is_inference() else tensor._version


def _is_wrapper(tensor: torch.Tensor) -> bool:
    """A subclass without memory of its own: what it wraps hangs in its attributes."""
    if type(tensor) in TENSORS or tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested:
        return False
    try:
        tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return True
    return False


def _room(part: torch.Tensor) -> int:
    """Bytes of its storage; 0 where a library holds the values (oneDNN)."""
    return part.untyped_storage().nbytes() if part.layout == torch.strided else 0


def _parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Strided tensors that hold its bytes, and can be written to."""
    if tensor.layout == torch.sparse_coo:
        yield from (tensor._indices(), tensor._values())
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        yield from (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        yield from (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    elif tensor.is_nested:
        yield tensor.values()
    elif tensor.layout == torch.strided and _overlaps(tensor):
        span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        yield tensor.as_strided((span,), (1,), tensor.storage_offset())
    else:
        yield tensor


def _overlaps(tensor: torch.Tensor) -> bool:
    """Entries lie over each other in memory, as after `expand` and `unfold`: such a tensor cannot be written to as a whole."""
    if tensor.is_contiguous() or tensor.numel() == 0:
        return False
    reach = 0
    for stride, size in sorted((stride, size) for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1):
        if stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def same_storage(tensor: torch.Tensor, alias: torch.Tensor) -> bool:
    if tensor.layout != torch.strided or tensor.is_nested or alias.layout != torch.strided:
        return False
    same = tensor.shape == alias.shape and tensor.dtype == alias.dtype and tensor.device == alias.device
    return same and tensor.stride() == alias.stride() and tensor.data_ptr() == alias.data_ptr()


def _copy(part: torch.Tensor, known: list[torch.Tensor]) -> torch.Tensor:
    """One that is there already, where it holds the same: to compare is cheaper than to clone, and takes no memory."""
    return known[0] if known and _identical(part, known[0]) else part.clone()


try:
    memcmp: Any = ctypes.CDLL(None).memcmp
    memcmp.argtypes, memcmp.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t), ctypes.c_int
except (AttributeError, OSError, TypeError):  # Windows has it elsewhere
    memcmp = None


def _identical(a: torch.Tensor, b: torch.Tensor) -> bool:
    """The same bytes, as far as that can be determined; `torch.equal` takes three to seven times as long."""
    if a.layout != torch.strided or a.is_quantized:
        return False  # cheap to copy back, awkward to compare
    if memcmp is not None and _dense(a) and _dense(b) and a.dtype is b.dtype and a.shape == b.shape:
        return bool(memcmp(a.data_ptr(), b.data_ptr(), a.nbytes) == 0)
    try:
        return torch.equal(a, b)
    except (RuntimeError, NotImplementedError):  # a type without arithmetic
        return False


def _dense(tensor: torch.Tensor) -> bool:
    """One run of memory of this process, of a class that hides nothing."""
    return type(tensor) in TENSORS and tensor.is_cpu and tensor.is_contiguous() and not tensor.is_neg()
