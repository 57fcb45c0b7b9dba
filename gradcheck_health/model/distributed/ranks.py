"""The ranks of a process group in step: what one has to say, also that it failed, reaches all, and nobody waits for ever.

Small texts go through the store of the group, never through its collectives: a store works for every backend, knows who is
missing when the time is over, and tells the others at once what one of them raised.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import nn

from gradcheck_health.model.distributed.kinds import is_distributed
from gradcheck_health.model.distributed.waiting import limited, lost_rank
from gradcheck_health.records.errors import ExitCode, GradhealthError, ModelError, RankError, one_line

_NUMBERS = itertools.count()
"""Of what the ranks tell one another: equal on all of them, because they go the same way."""
_PAUSE, _LONGEST = 0.0005, 0.02
"""Seconds between two questions to the store, at first and at most."""
_GRACE = 5.0
"""Seconds that a rank waits longer for the answer of the first one than that one waits for all."""
_SOON = 2.0
"""Seconds in which another rank may say why it left a collective operation."""
_broken: tuple[int, str] | None = None
"""A process group, by its id, whose members are no longer together, and why."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The ranks that check together, as seen from one of them."""

    rank: int
    size: int
    timeout: float
    """Seconds that they wait for one another."""
    store: Any
    generator: int = 0
    """A number for the state of torch's generator when the ranks came together."""

    def exchange(self, label: str, value: Any) -> list[Any]:
        """What every rank has to say here, in their order; values are what JSON can hold.

        Raises:
            RankError: one of them failed, did not come in time, or is somewhere else.
        """
        number = next(_NUMBERS)
        self._post(number, {"label": label, "value": value})
        if self.rank == 0:
            answer = self._collect(number, label)
            self.store.set(f"{number}/all", json.dumps(answer))
        else:
            told = self._wait(f"{number}/all", self.timeout + _GRACE)
            answer = {"error": _gone(0, self.timeout, label)} if told is None else json.loads(told)
        if number:
            self._forget(number - 1)
        if "error" in answer:
            if "code" not in answer:
                _break(answer["error"])
            raise RankError(answer["error"], code=answer.get("code", ExitCode.STOPPED))
        values: list[Any] = answer["values"]
        return values

    def all_or_none(self, label: str, failed: str) -> None:
        """What all ranks tried together did well on all of them, or failed on all.

        Args:
            failed: why it did on this one; "" if it did not.

        Raises:
            RankError: it failed on some: what comes next would be another operation there.
        """
        said = self.exchange(label, {"failed": f"rank {self.rank} failed at {label}: {failed}" if failed else ""})
        texts = [one["failed"] for one in said if one["failed"]]
        if texts and len(texts) < self.size:
            raise RankError(texts[0], code=ExitCode.FAILED)

    def _collect(self, number: int, label: str) -> dict[str, Any]:
        """At the first rank: everybody's value, or the first reason why there is none."""
        values: list[Any] = []
        deadline = time.monotonic() + self.timeout
        for rank in range(self.size):
            told = self._wait(f"{number}/{rank}", deadline - time.monotonic())
            if told is None:
                return {"error": _gone(rank, self.timeout, label)}
            said: dict[str, Any] = json.loads(told)
            if "error" in said:
                return said
            if said["label"] != label and (failed := _failed(said["value"]) or next(filter(None, map(_failed, values)), "")):
                return {"error": failed, "code": int(ExitCode.FAILED)}
            if said["label"] != label:
                text = f"the ranks go different ways: rank 0 is at {label!r}, rank {rank} at {said['label']!r}"
                return {"error": f"{text}\n  help    call the same checks, in the same order, on every rank"}
            values.append(said["value"])
        return {"values": values}

    def _post(self, number: int, said: dict[str, Any]) -> None:
        self.store.set(f"{number}/{self.rank}", json.dumps(said))

    def _wait(self, key: str, seconds: float) -> str | None:
        """What stands under a key; None where nothing does in time. Asked again and again, so that Ctrl-C comes through."""
        pause, deadline = _PAUSE, time.monotonic() + seconds
        while not self.store.check([key]):
            if time.monotonic() > deadline:
                return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        text: bytes = self.store.get(key)
        return text.decode()

    def _forget(self, number: int) -> None:
        """Everybody is past it: whoever answers to this number has read the one before."""
        with contextlib.suppress(Exception):  # not every store can
            self.store.delete_key(f"{number}/{self.rank}")
            if self.rank == 0:
                self.store.delete_key(f"{number}/all")

    def failed(self, error: BaseException) -> None:
        """Tell the others, who may wait at the next number; say on their behalf why a collective operation broke off.

        Raises:
            RankError: the error came from another rank.
        """
        if isinstance(error, RankError):
            return
        number = next(_NUMBERS)
        if (lost := lost_rank(error)) is not None:
            self._blame(number, lost, error)
        code = error.exit_code if isinstance(error, GradhealthError) else ExitCode.FAILED
        said = {"error": f"rank {self.rank} failed: {error if isinstance(error, GradhealthError) else one_line(error)}"}
        with contextlib.suppress(Exception):  # its store may have ended with the first rank
            self._post(number, {**said, "code": int(code)})
            if self.rank == 0:
                self.store.set(f"{number}/all", json.dumps({**said, "code": int(code)}))

    def _blame(self, number: int, lost: BaseException, error: BaseException) -> NoReturn:
        told = code = None
        deadline = time.monotonic() + _SOON
        with contextlib.suppress(Exception):
            while told is None and time.monotonic() < deadline:
                for rank in range(self.size):
                    if rank != self.rank and self.store.check([f"{number}/{rank}"]):
                        said = json.loads(self.store.get(f"{number}/{rank}"))
                        failed = _failed(said.get("value"))
                        told, code = (failed, ExitCode.FAILED) if failed else (said.get("error"), said.get("code"))
                time.sleep(_LONGEST)
        text = told or (
            f"rank {self.rank} lost another rank of {self.size}, which ended or did not come within {self.timeout:g} s: "
            f"{one_line(lost)}\n  help    look at the output of the other ranks; allow more time with timeout"
        )
        with contextlib.suppress(Exception):
            self._post(number, {"error": text, "code": int(code or ExitCode.STOPPED)})
            if self.rank == 0:
                self.store.set(f"{number}/all", json.dumps({"error": text, "code": int(code or ExitCode.STOPPED)}))
        _break(text)
        raise RankError(text, code=code or ExitCode.STOPPED) from error


_CURRENT: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def current() -> Ranks | None:
    """The ranks that check together at the moment; None in a check of one process."""
    return _CURRENT.get()


@contextlib.contextmanager
def in_step(timeout: float, model: nn.Module | None = None) -> Iterator[Ranks | None]:
    """All ranks of the process group do the block together, and what one of them raises ends it for all.

    Args:
        timeout: seconds that they wait for one another, also inside the model's own collective operations.
        model: only where it is distributed; None: wherever there is a process group.

    Raises:
        RankError: another rank failed, ended or stalled.
    """
    if (around := _CURRENT.get()) is not None or not initialized() or (model is not None and not is_distributed(model)):
        yield around
        return
    import torch.distributed as dist
    from torch.distributed import distributed_c10d

    store = distributed_c10d.PrefixStore("gradhealth", distributed_c10d._get_default_store())
    generator = zlib.crc32(bytes(torch.get_rng_state().tolist()))
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), timeout, store, generator)
    token = _CURRENT.set(ranks)
    try:
        if _broken is not None and _broken[0] == id(dist.group.WORLD):
            ranks.failed(ModelError(text := f"not checked, since the ranks are no longer together: {_broken[1]}"))
            raise RankError(text)
        with limited(timeout):
            yield ranks
    except BaseException as error:
        ranks.failed(error)
        raise
    finally:
        _CURRENT.reset(token)


def initialized() -> bool:
    """This process belongs to a group of several."""
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _failed(value: Any) -> str:
    """Why a rank failed at what all of them try, which it says where the others may be elsewhere."""
    return str(value.get("failed") or "") if isinstance(value, dict) else ""


def _break(why: str) -> None:
    global _broken
    import torch.distributed as dist

    _broken = (id(dist.group.WORLD), why.partition("\n")[0])


def _gone(rank: int, timeout: float, label: str) -> str:
    return (
        f"rank {rank} did not come within {timeout:g} s (at {label}): it ended, stalled, or does not take part\n"
        "  help    call the check on every rank; allow more time with timeout"
    )
