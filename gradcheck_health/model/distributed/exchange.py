"""What the ranks of a check say to one another, also that one failed: it reaches all, and nobody waits for ever.

Small texts go through the store of the group, never through its collectives: a store works for every backend, knows who is
missing when the time is over, and tells the others what one of them raised.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from gradcheck_health.model.distributed.waiting import lost_rank
from gradcheck_health.records.errors import ExitCode, GradhealthError, RankError, one_line

_next = 0
"""The number of what the ranks tell one another next: equal on all of them, because they go the same way."""
_PAUSE, _LONGEST = 0.0005, 0.02
"""Seconds between two questions to the store, at first and at most."""
_GRACE = 3.0
"""Seconds that a rank waits longer for the answer of the first one than that one waits for all."""
_SOON = 2.0
"""Seconds in which another rank may say why it left a collective operation."""
LOOK = "look at the output of that rank; every rank has to run the same code"


class Parted(BaseException):
    """The ranks are no longer together, so the check of all ends. No handler that would go on after an error may take it."""

    def __init__(self, error: RankError, *, together: bool = False) -> None:
        """Args: together: all of them know, none is left behind in a collective operation."""
        super().__init__(str(error))
        self.error, self.together = error, together


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
    leaves: bool = False
    """This process ends with the check, and so breaks off whatever the others wait for."""

    def exchange(self, label: str, value: Any, within: float | None = None) -> list[Any]:
        """What every rank has to say here, in their order; values are what JSON can hold.

        Args:
            within: seconds to wait for the others, where not the usual time.

        Raises:
            Parted: one of them failed, did not come in time, or is somewhere else.
        """
        number, seconds = _taken(), self.timeout if within is None else within
        self._post(number, {"label": label, "value": value})
        if self.rank == 0:
            answer = self._collect(number, label, seconds)
            self.store.set(f"{number}/all", json.dumps(answer))
        else:
            told = self._wait(f"{number}/all", seconds + _GRACE)
            answer = self._unanswered(number, seconds, label) if told is None else json.loads(told)
        if number:
            self._forget(number - 1)
        if "error" in answer:
            error = RankError(answer["error"], code=answer.get("code", ExitCode.STOPPED))
            raise Parted(error, together=answer.get("together", False))
        values: list[Any] = answer["values"]
        return values

    def all_or_none(self, label: str, failed: str, within: float | None = None) -> None:
        """What all ranks tried together did well on all of them, or failed on all.

        Args:
            failed: why it did on this one; "" if it did not.

        Raises:
            Parted: it failed on some: what comes next would be another operation there.
        """
        text = f"rank {self.rank} failed at {label}, and not every rank did: {failed}\n  help    {LOOK}" if failed else ""
        said = self.exchange(label, {"failed": text}, within)
        texts = [one["failed"] for one in said if one["failed"]]
        if texts and len(texts) < self.size:
            raise Parted(RankError(texts[0], code=ExitCode.FAILED), together=True)

    def compare_failure(self, doing: str, error: BaseException, took: float) -> None:
        """Nothing where all ranks met an error here; the others are waited for, since this one must enter no other operation.

        Args:
            took: seconds until the error: the others are not much later.

        Raises:
            Parted: only some did, or another rank is lost.
        """
        if lost_rank(error) is not None:
            self.failed(error)
        within = min(self.timeout, _GRACE + 2 * took) if self.leaves else self.timeout + 2 * _GRACE
        self.all_or_none(doing, _text(error), within)

    def failed(self, error: BaseException) -> None:
        """Tell the others, who may wait at the next number; say on their behalf why a collective operation broke off.

        Raises:
            Parted: the error came from another rank.
        """
        number = _taken()
        if (lost := lost_rank(error)) is not None:
            self._blame(number, lost, error)
        code = error.exit_code if isinstance(error, GradhealthError) else ExitCode.FAILED
        text = f"rank {self.rank} failed: {_text(error)}"
        self._end(number, text if "  help    " in text else f"{text}\n  help    {LOOK}", code, together=True)

    def failed_alone(self, error: BaseException) -> None:
        """Tell those of the others that wait for this one, where not all of them need to take part: no number is taken.

        Raises:
            Parted: the error came from another rank.
        """
        if (lost := lost_rank(error)) is not None:
            self._blame(_next, lost, error)
        code = error.exit_code if isinstance(error, GradhealthError) else ExitCode.FAILED
        said = {"error": f"rank {self.rank} failed: {_text(error)}\n  help    {LOOK}", "code": int(code)}
        with contextlib.suppress(Exception):  # the store may have ended with the first rank
            self.store.set(f"{_next}/{self.rank}/alone", json.dumps(said))

    def joins(self) -> None:
        """This rank takes part from here on: what it met alone before is over."""
        with contextlib.suppress(Exception):  # not every store can
            self.store.delete_key(f"{_next}/{self.rank}/alone")

    def _collect(self, number: int, label: str, seconds: float) -> dict[str, Any]:
        """At the first rank: everybody's value, or the first reason why there is none."""
        values: list[Any] = []
        deadline = time.monotonic() + seconds
        for rank in range(self.size):
            told = self._wait(f"{number}/{rank}", deadline - time.monotonic())
            said: dict[str, Any] = {} if told is None else json.loads(told)
            if "error" in said:
                return said
            if said.get("label") != label:  # why, most often another rank says
                error, code, _ = self._reason(number)
                if error:
                    return {"error": error, "code": code, "together": told is not None}
            if told is None:
                return {"error": _missing(rank, seconds, label)}
            if said["label"] != label:
                text = f"the ranks go different ways: rank 0 is at {label!r}, rank {rank} at {said['label']!r}"
                return {"error": f"{text}\n  help    call the same checks, in the same order, on every rank"}
            values.append(said["value"])
        return {"values": values}

    def _unanswered(self, number: int, seconds: float, label: str) -> dict[str, Any]:
        """The end of a check in which the first rank does not answer."""
        error, code, _ = self._reason(number)
        return {"error": error, "code": code} if error else {"error": _missing(0, seconds, label)}

    def _post(self, number: int, said: dict[str, Any]) -> None:
        self.store.set(f"{number}/{self.rank}", json.dumps(said))

    def _end(self, number: int, text: str, code: int, *, together: bool) -> None:
        """What ends the check of all, under a number at which the others wait or will wait."""
        said = {"error": text, "code": int(code), "together": together}
        with contextlib.suppress(Exception):  # the store may have ended with the first rank
            self._post(number, said)
            if self.rank == 0:
                self.store.set(f"{number}/all", json.dumps(said))

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

    def _blame(self, number: int, lost: BaseException, error: BaseException) -> NoReturn:
        """Ends with what another rank says; where none does in time, with those that said nothing."""
        with contextlib.suppress(Exception):  # the store may have ended with the first rank
            self._post(number, {"label": "an operation that another rank left", "value": None})
        told, code, silent = self._reason(number)
        text = told or _lost_text(f"rank {self.rank}", silent, self.size, self.timeout, lost)
        self._end(number, text, code, together=False)
        raise Parted(RankError(text, code=code)) from error

    def _reason(self, number: int) -> tuple[str, int, list[int]]:
        """What a rank says that ends the check, "" where none does soon; the exit code, and the others that say nothing."""
        told, code = "", ExitCode.STOPPED
        ranks, deadline = range(self.size), time.monotonic() + _SOON
        silent = set(ranks) - {self.rank}
        with contextlib.suppress(Exception):  # the store may have ended with the first rank
            while not told and time.monotonic() < deadline:
                keys = ((rank, f"{number}/{rank}{where}") for rank in ranks for where in ("", "/alone"))
                for rank, key in [one for one in keys if self.store.check([one[1]])]:
                    said = json.loads(self.store.get(key))
                    silent.discard(rank)
                    if failed := _failed(said.get("value")):
                        told, code = failed, ExitCode.FAILED
                    elif not told and "error" in said:
                        told, code = said["error"], ExitCode(said.get("code", code))
                time.sleep(_LONGEST)
        return told, int(code), sorted(silent)


def _taken() -> int:
    global _next
    _next += 1
    return _next - 1


def _lost_text(waiting: str, silent: Sequence[int], size: int, timeout: float, lost: BaseException) -> str:
    """What a rank says that another one left alone in a collective operation."""
    who = f"rank {' or '.join(map(str, silent))}" if silent else "another rank"
    return (
        f"{waiting} waited for {who} of {size}, which ended, stalled or does something else: {one_line(lost)}\n"
        f"  help    {LOOK}; it waits {timeout:g} s, allow more with timeout"
    )


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, GradhealthError) else one_line(error)


def _failed(value: Any) -> str:
    """Why a rank failed at what all of them try, which it says where the others may be elsewhere."""
    return str(value.get("failed") or "") if isinstance(value, dict) else ""


def _missing(rank: int, timeout: float, label: str) -> str:
    return (
        f"rank {rank} did not come within {timeout:g} s (at {label}): it ended, stalled, or does not take part\n"
        "  help    call the check on every rank; allow more time with timeout"
    )
