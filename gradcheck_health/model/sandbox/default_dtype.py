"""The default dtype for a part of a check: of the process, or where other threads live of this thread alone."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


def use_default_dtype(dtype: torch.dtype) -> None:
    """Inside a sandbox, which puts it back: tensors that are made without a dtype have this one."""
    if threading.active_count() == 1:
        torch.set_default_dtype(dtype)
    elif dtype != torch.get_default_dtype():
        _Default(dtype).__enter__()  # type: ignore[no-untyped-call] # the stack of modes belongs to a thread


class _Default(TorchFunctionMode):
    """What comes out in the default dtype, made of nothing that floats and with no dtype given, is cast."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype, self._before = dtype, torch.get_default_dtype()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.get_default_dtype:
            return self._dtype
        out = func(*args, **kwargs)
        if type(out) is not torch.Tensor or out.dtype != self._before or kwargs.get("dtype") is not None:
            return out
        given = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor | torch.dtype)]
        explicit = func.__name__ in ("float", "to", "type", "type_as", "view") or kwargs.get("out") is not None
        floats = any(isinstance(one, torch.dtype) or one.is_floating_point() or one.is_complex() for one in given)
        return out if explicit or floats else out.to(self._dtype)
