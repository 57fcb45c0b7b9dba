"""The operation at which a trial failed, and the line that called it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_health.records.frames import is_package_file

Site = tuple[str, str, int]
"""Operation, file, line."""


@dataclass(slots=True)
class FailedOperation:
    """The operation that raised, with its operands alive."""

    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    error: Exception
    site: Site


def emptied(name: str, func: Any, args: Any, kwargs: Any, out: Any, frame: Any) -> FailedOperation | None:
    """A slice that began behind the end of what it was taken from: where nothing is left in the end, it is what failed."""
    if not isinstance(out, torch.Tensor) or out.numel() or not (isinstance(args[0], torch.Tensor) and args[0].numel()):
        return None
    error = IndexError(f"nothing is left of {list(args[0].shape)}: {list(out.shape)}")
    return FailedOperation(name, func, args, kwargs, error, site_of(name, frame))


def site_of(name: str, frame: Any) -> Site:
    """The user's line that called the operation, not torch's own."""
    inner = frame
    while frame is not None and "/torch/" in frame.f_code.co_filename and frame.f_back is not None:
        frame = frame.f_back
    if frame is None or is_package_file(frame.f_code.co_filename):
        frame = inner  # a layer of torch that nobody's code calls
    return (name, frame.f_code.co_filename, frame.f_lineno) if frame is not None else (name, "", 0)
