"""The process group of a process that torchrun started: made before the user's file is imported, so that it may use it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from gradcheck_health.records.errors import RankError, one_line
from gradcheck_health.records.launch import launched

SHARE = 0.5
"""Of the time that a silent worker has: the ranks wait no longer for one another, so that each can still say why it ends."""
MEETING = 0.8
"""Of it, until they have met: another rank may still wait for this one at the target before, for that share of the time."""
_GOODBYE = 5.0


@contextlib.contextmanager
def in_group(purpose: str, timeout: float) -> Iterator[None]:
    """A member of the default process group, where torchrun started this process and it is in none; otherwise nothing.

    Args:
        purpose: what is done in it: two groups that follow one another must not meet.
        timeout: seconds that a member waits for another one.
    """
    here = launched()
    if here is None:
        yield
        return
    import torch
    import torch.distributed as dist

    if dist.is_initialized():  # the user's own
        yield
        return
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    backend = "gloo"
    if torch.cuda.is_available() and torch.cuda.device_count() > (local := int(os.environ.get("LOCAL_RANK", here.rank))):
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    limit = timedelta(seconds=timeout)
    try:
        store, rank, size = next(iter(rendezvous("env://", timeout=limit)))
        own = PrefixStore(f"gradhealth/{purpose}", store)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=limit)
    except dist.DistError as error:
        raise RankError(
            f"rank {here.rank} of {here.size} met no process group within {timeout:g} s: another rank ended before, or never "
            f"began ({one_line(error)})\n"
            f"  help    start all of them: torchrun --nproc-per-node {here.size} -m gradcheck_health ..."
        ) from error
    try:
        yield
    finally:
        _part(own, rank, size)
        if dist.is_initialized():
            dist.destroy_process_group()


def _part(store: Any, rank: int, size: int) -> None:
    """The rank that keeps the store leaves last; most often torchrun keeps it."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return
    with contextlib.suppress(Exception):  # it may be gone
        store.set(f"left/{rank}", "")
        until = time.monotonic() + _GOODBYE
        while rank == 0 and not store.check([f"left/{k}" for k in range(size)]) and time.monotonic() < until:
            time.sleep(0.005)
