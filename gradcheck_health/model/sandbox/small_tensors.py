"""Small plain tensors, put back in place like any other, but many at once: a model may hold a hundred thousand of them.

Their bytes lie in one run of memory, and what is not bytes is one tuple each, compared as a whole.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch

from gradcheck_health.model.sandbox.dense import is_dense
from gradcheck_health.model.sandbox.garbage import collector_paused
from gradcheck_health.model.sandbox.saved_tensor import memcmp, same_storage, set_versions, to_leaf

LIMIT = 1 << 16
"""Bytes; beside the copy of a larger one, the calls that it takes are nothing."""
_move = ctypes.memmove


_Flags = tuple[type, torch.dtype, torch.Size, tuple[int, ...], bool, torch.UntypedStorage, int, int, Any, Any]
"""What is not bytes: class, dtype, shape, strides, whether it needs a gradient, storage, bytes of that, address, hooks before
and after its gradient has arrived. A plain tuple, since each is made again to be compared."""


def _flags(tensor: torch.Tensor) -> _Flags:
    storage = tensor.untyped_storage()
    return (
        type(tensor),
        tensor.dtype,
        tensor.shape,
        tensor.stride(),
        tensor.requires_grad,
        storage,
        storage.nbytes(),
        tensor.data_ptr(),
        tensor._backward_hooks,
        tensor._post_accumulate_grad_hooks,
    )


class _Row(NamedTuple):
    """One tensor as it was."""

    tensor: torch.Tensor
    flags: _Flags
    offset: int
    pointer: int
    copy: int
    """Address of its bytes in `block`."""
    nbytes: int
    block: torch.UntypedStorage


class PlainTensors:
    """Small dense leaves in the memory of this process, without hooks, as they were when they were taken.

    Args:
        earlier: those of a sandbox around this one: what has not changed since is shared with it.
    """

    def __init__(self, earlier: PlainTensors | None = None) -> None:
        self._earlier: dict[int, _Row] = {} if earlier is None else earlier._rows
        self._rows: dict[int, _Row] = {}
        self._gradients: dict[int, torch.Tensor] = {}
        self._versions: dict[int, int] = {}

    def take(self, tensors: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Remember those of the tensors that are small and plain; yields the others."""
        fresh: list[tuple[torch.Tensor, _Flags, int]] = []
        for tensor in tensors:
            row = self._earlier.get(id(tensor))
            if row is not None and _flags(tensor) == row.flags and not memcmp(row.pointer, row.copy, row.nbytes):
                self._keep(row)
            elif _is_plain(tensor):
                fresh.append((tensor, _flags(tensor), tensor.nbytes))
            else:
                yield tensor
        block = torch.UntypedStorage(sum(nbytes for _, _, nbytes in fresh))  # type: ignore[no-untyped-call]
        address = block.data_ptr()
        for tensor, flags, nbytes in fresh:
            pointer = flags[7]
            _move(address, pointer, nbytes)
            self._keep(_Row(tensor, flags, int(tensor.storage_offset()), pointer, address, nbytes, block))
            address += nbytes

    def _keep(self, row: _Row) -> None:
        """All of a tensor at once: memory may end between two of them, and what is kept by then is put back."""
        tensor = row.tensor
        self._rows[id(tensor)] = row
        if not tensor.is_inference():
            self._versions[id(tensor)] = tensor._version
        if (gradient := tensor.grad) is not None:
            self._gradients[id(tensor)] = gradient

    def detach_gradients(self) -> None:
        """From now on every `.grad` is None."""
        for key in self._gradients:
            self._rows[key].tensor.grad = None

    @collector_paused()
    def put_back(self, errors: list[Exception]) -> None:
        """All of them, under `plainly()`; what one of them raises is appended."""
        gradients = self._gradients
        for key, row in self._rows.items():
            tensor, flags, _, pointer, copy, nbytes, _ = row
            try:
                if type(tensor) is not flags[0] or _flags(tensor) != flags or tensor.grad_fn is not None:
                    _mend(row)
                elif memcmp(pointer, copy, nbytes):
                    _move(pointer, copy, nbytes)
                if tensor.grad is not (gradient := gradients.get(key)):
                    tensor.grad = gradient
            except Exception as error:  # noqa: BLE001 - its class may be the user's by now
                errors.append(error)
        rows, versions = self._rows, self._versions
        moved = [key for key, version in versions.items() if rows[key].tensor._version != version]
        set_versions([rows[key].tensor for key in moved], [versions[key] for key in moved])


def _is_plain(tensor: torch.Tensor) -> bool:
    return (
        memcmp is not None
        and is_dense(tensor)
        and tensor.is_contiguous()
        and tensor.nbytes <= LIMIT
        and tensor.grad_fn is None
        and tensor._backward_hooks is None
        and tensor._post_accumulate_grad_hooks is None
    )


def _mend(row: _Row) -> None:
    """What is not bytes comes back first: afterwards the tensor is where its bytes were."""
    tensor = row.tensor
    cls, dtype, shape, stride, requires_grad, storage, size, _, hooks, accumulate_hooks = row.flags
    if type(tensor) is not cls:
        tensor.__class__ = cls
    if storage.nbytes() != size:
        storage.resize_(size)
    place = torch.empty(0, dtype=dtype, device="cpu").set_(storage, row.offset, shape, stride)
    if not same_storage(tensor, place):
        tensor.data = place
    _move(place.data_ptr(), row.copy, row.nbytes)
    to_leaf(tensor, requires_grad)
    if tensor._backward_hooks is not None:
        tensor._backward_hooks = hooks
    if tensor._post_accumulate_grad_hooks is not None:
        tensor._post_accumulate_grad_hooks = {}  # None alone would not stop the new ones
        tensor._post_accumulate_grad_hooks = accumulate_hooks
