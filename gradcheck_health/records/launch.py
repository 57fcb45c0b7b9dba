"""Which of the processes that torchrun started this one is, and which of them writes: known without torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PATIENCE = 30.0
"""Seconds that the other ranks wait until the first one has written."""


class Launched(NamedTuple):
    """This process among those of a launch."""

    rank: int
    size: int


def launched() -> Launched | None:
    """None where torchrun did not start this process."""
    values = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    if "TORCHELASTIC_RUN_ID" not in os.environ or not all(value.isdigit() for value in values):
        return None
    return Launched(*map(int, values))


def writes() -> bool:
    """This process shows and writes the results: the only one, or rank 0 of a launch."""
    found = launched()
    return found is None or found.rank == 0


def shown_elsewhere(ranks: int) -> bool:
    """What so many ranks found together is shown by another one of them."""
    return ranks > 1 and not writes()


def launcher() -> str:
    """`torchrun --nproc-per-node 2 -m `, as it is typed before the module to start again what torchrun started; else ""."""
    if (here := launched()) is None:
        return ""
    local = int(os.environ.get("LOCAL_WORLD_SIZE") or here.size)
    nodes = f"--nnodes {here.size // local} " if here.size > local else ""
    return f"torchrun {nodes}--nproc-per-node {local} -m "


@contextlib.contextmanager
def in_turn() -> Iterator[None]:
    """Around all that a process shows and writes: rank 0 leaves first, the others of its machine wait for that.

    torchrun ends every process as soon as one of them leaves with another code than 0.
    """
    if (here := launched()) is None or here.size == 1:
        yield
        return
    from filelock import FileLock, Timeout

    run = [os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "USER")]
    name = hashlib.sha256("/".join(run).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"gradhealth-{name}.lock")
    try:
        if here.rank == 0:
            with contextlib.suppress(Timeout, OSError):
                lock.acquire(timeout=PATIENCE)
        yield
    finally:
        with contextlib.suppress(Timeout, OSError):
            if here.rank != 0:
                lock.acquire(timeout=PATIENCE)
            lock.release()
            if here.rank == 0:
                Path(lock.lock_file).unlink(missing_ok=True)
