"""How long a collective operation waits, and how one that another rank left can be told from other errors."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

_LOST = re.compile(
    "connection (closed|reset|refused)|broken pipe|timed? ?out|pair closure|watchdog|communicator was aborted"
    "|socket closed|gloo.*(recv|send|read|write)",
    re.I | re.S,
)
"""What the backends say when another rank is gone, or does not come."""


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
    """No collective operation of any group waits longer than this: by themselves they wait for half an hour."""
    undo: list[Callable[[], None]] = []
    try:
        for backend in _backends():
            before = backend.options._timeout
            if before > (limit := timedelta(seconds=seconds)):
                backend._set_default_timeout(limit)
                undo.append(lambda backend=backend, before=before: backend._set_default_timeout(before))  # type: ignore[misc]
        yield
    finally:
        for one in undo:
            with contextlib.suppress(RuntimeError):  # it was ended meanwhile
                one()


def _backends() -> Iterator[Any]:
    from torch.distributed import distributed_c10d

    for group in list(distributed_c10d._world.pg_map):
        for device in getattr(group, "_device_types", ()):
            with contextlib.suppress(RuntimeError):
                yield group._get_backend(device)
