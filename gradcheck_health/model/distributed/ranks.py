"""The ranks of a process group in step: a check that all of them take part in, and what each may do without the others."""

from __future__ import annotations

import contextlib
import sys
import time
import zlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
from torch import nn

from gradcheck_health.model.distributed.exchange import Parted, Ranks
from gradcheck_health.model.distributed.kinds import is_distributed
from gradcheck_health.model.distributed.waiting import limited
from gradcheck_health.records.errors import ModelError

_CURRENT: ContextVar[Ranks | None] = ContextVar("ranks", default=None)
_broken: tuple[int, str] | None = None
"""A process group, by its id, whose members are no longer together, and why."""


def current() -> Ranks | None:
    """The ranks that check together at the moment; None in a check of one process."""
    return _CURRENT.get()


def on_any_rank(said: bool) -> bool:
    """Whether it holds on one of those that check together, at least: what they do next, all of them have to do."""
    ranks = current()
    return said if ranks is None else any(any(told) for told in ranks.exchange("what comes next", [said]))


@contextlib.contextmanager
def in_step(timeout: float, model: nn.Module | None = None, *, leaves: bool = False) -> Iterator[Ranks | None]:
    """All ranks of the process group do the block together, and what one of them raises ends it for all.

    Args:
        timeout: seconds that they wait for one another, also inside the model's own collective operations.
        model: only where it is distributed; None: wherever there is a process group.
        leaves: the process ends afterwards.

    Raises:
        RankError: another rank failed, ended or stalled.
    """
    if (around := _CURRENT.get()) is not None or not initialized() or (model is not None and not is_distributed(model)):
        yield around
        return
    import torch.distributed as dist

    ranks = _ranks(timeout, leaves)
    token = _CURRENT.set(ranks)
    try:
        try:
            if _broken is not None and _broken[0] == id(dist.group.WORLD):
                raise ModelError(f"not checked, since the ranks are no longer together: {_broken[1]}")
            ranks.joins()
            with limited(timeout):
                yield ranks
        except Parted:
            raise
        except BaseException as error:
            ranks.failed(error)
            raise
    except Parted as parted:
        if not parted.together:
            _break(str(parted))
        raise parted.error from parted.__cause__
    finally:
        _CURRENT.reset(token)


@contextlib.contextmanager
def jointly(doing: str) -> Iterator[None]:
    """What the ranks of a check do together, such as a pass through the model: an error of some of them ends the check of all.

    An error that all of them meet is each one's own, as in one process: whoever handles it goes the way that the others go.
    """
    begun = time.monotonic()
    try:
        yield
    except Exception as error:
        if (ranks := _CURRENT.get()) is not None:
            ranks.compare_failure(doing, error, time.monotonic() - begun)
        raise


@contextlib.contextmanager
def perhaps_alone(timeout: float) -> Iterator[None]:
    """What every rank may do without the others, such as building a model: `DistributedDataParallel` waits for them inside.

    Raises:
        RankError: another rank raised here, or did not come, and this one waited for it.
    """
    if _CURRENT.get() is not None or not initialized():
        yield
        return
    try:
        with limited(timeout):
            yield
    except BaseException as error:
        try:
            _ranks(timeout).failed_alone(error)
        except Parted as parted:
            _break(str(parted))
            raise parted.error from error
        raise


def initialized() -> bool:
    """This process belongs to a group of several."""
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _ranks(timeout: float, leaves: bool = False) -> Ranks:
    import torch.distributed as dist
    from torch.distributed import distributed_c10d

    store = distributed_c10d.PrefixStore("gradhealth", distributed_c10d._get_default_store())
    generator = zlib.crc32(bytes(torch.get_rng_state().tolist()))
    return Ranks(dist.get_rank(), dist.get_world_size(), timeout, store, generator, leaves)


def _break(why: str) -> None:
    global _broken
    import torch.distributed as dist

    _broken = (id(dist.group.WORLD), why.partition("\n")[0])
