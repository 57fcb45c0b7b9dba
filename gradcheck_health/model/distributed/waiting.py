"""How long a collective operation waits, and how one that another rank left can be told from other errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

_USUAL = ("default_pg_timeout", "default_pg_nccl_timeout")
"""How long the operations of a new group wait, in torch's own module."""
_LOST = re.compile(
    "connection (closed|reset|refused)|broken pipe|timed? ?out|pair closure|watchdog|communicator was aborted"
    "|socket closed|gloo.*(recv|send|read|write)",
    re.I | re.S,
)
"""What the backends say when another rank is gone, or does not come."""


_PATIENCE: ContextVar[timedelta | None] = ContextVar("patience", default=None)


def patience() -> timedelta:
    """How long to wait for what another rank sends: operations between two ranks do not know the limit of their group."""
    return _PATIENCE.get() or timedelta(minutes=30)


def lost_rank(error: BaseException) -> BaseException | None:
    """The error of a collective operation that another rank left: itself, or one that it was raised from."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        if isinstance(one, RuntimeError) and _LOST.search(str(one)):
            return one
        seen.append(one)
        one = one.__cause__ or one.__context__
    return None


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """No collective operation of any group waits longer than this, also of one that is made inside: else it is half an hour."""
    from torch.distributed import distributed_c10d

    limit = timedelta(seconds=seconds)
    token = _PATIENCE.set(limit)
    usual = {name: value for name in _USUAL if (value := getattr(distributed_c10d, name, None)) is not None}
    before = [(backend, backend.options._timeout) for backend in _backends()]
    try:
        for backend, timeout in before:
            backend._set_default_timeout(min(timeout, limit))
        for name, timeout in usual.items():
            setattr(distributed_c10d, name, min(timeout, limit))
        yield
    finally:
        _PATIENCE.reset(token)
        for name, timeout in usual.items():
            setattr(distributed_c10d, name, timeout)
        known = [backend for backend, _ in before]
        made = [(backend, usual["default_pg_timeout"]) for backend in _backends() if backend not in known]
        for backend, timeout in [*before, *made]:
            with contextlib.suppress(RuntimeError):  # it was ended meanwhile
                backend._set_default_timeout(timeout)


def _backends() -> Iterator[Any]:
    from torch.distributed import distributed_c10d

    for group in list(distributed_c10d._world.pg_map):
        for device in getattr(group, "_device_types", ()):
            with contextlib.suppress(RuntimeError):
                yield group._get_backend(device)
