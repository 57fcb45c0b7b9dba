"""One rank raises, runs out of memory, ends or stalls, somewhere in a check: how all the others end, with what code and how fast.

python -m benchmarks.rank_faults [--runs 50] [--jobs 2]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist

from benchmarks.rank_faults.cases import KINDS, LONGEST, TIMEOUT, Case
from benchmarks.rank_faults.rank import work

LIMIT = 3 * TIMEOUT
"""Seconds after the fault within which every rank has to end: one that goes on to where the others do not come waits anew."""


@dataclass
class Run:
    """The processes of a case, and how those that ended did."""

    case: Case
    folder: Path
    started: float = field(default_factory=time.monotonic)
    ranks: dict[int, int] = field(default_factory=dict)
    """Process -> rank."""
    keeper: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    """From the fault to the end of the last rank."""

    def start(self) -> None:
        """Every rank, and a process for the store, which torchrun keeps and no rank."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        if (child := os.fork()) == 0:
            store = dist.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
            time.sleep(2 * LONGEST)
            os._exit(store.port)
        self.keeper = child
        for rank in range(self.case.size):
            if (child := os.fork()) == 0:
                work(self.case, rank, port, self.folder / str(rank))
            self.ranks[child] = rank

    def over(self) -> bool:
        """All ended whose end is asked for, or the time did; then nobody is left."""
        for child in [one for one, rank in self.ranks.items() if rank not in self.codes]:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                self.codes[self.ranks[child]] = os.waitstatus_to_exitcode(status)
                self.seconds = time.monotonic() - self._fault()
        late = time.monotonic() > min(self._fault() + LIMIT, self.started + LONGEST)
        if not late and self._asked() - self.codes.keys():
            return False
        for child in [self.keeper, *(one for one, rank in self.ranks.items() if rank not in self.codes)]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return True

    def _fault(self) -> float:
        """When it came."""
        mark = self.folder / "fault"
        return mark.stat().st_mtime - time.time() + time.monotonic() if mark.exists() else math.inf

    def _asked(self) -> set[int]:
        """A rank that died, left or sleeps is not asked how it ends."""
        own = {self.case.faulty} if KINDS[self.case.kind] == 4 or self.case.kind == "quit" else set()
        return set(range(self.case.size)) - own

    def wrong(self) -> str:
        """What was not as it has to be; "" where all was."""
        found = [] if (self.folder / "fault").exists() else ["the fault did not come"]
        for rank in sorted(self._asked()):
            code = self.codes.get(rank)
            text = (self.folder / str(rank)).read_text() if code is not None and code >= 0 else ""
            if code != KINDS[self.case.kind]:
                found.append(f"rank {rank} ended with {code}: {text}")
            elif rank != self.case.faulty and ("help" not in text or str(self.case.faulty) not in text.partition("help")[0]):
                found.append(f"rank {rank} does not say which rank, or what to do: {text}")
        return "\n".join(found)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2, help="cases at once, most of whose time is waiting")
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    waiting = [Case.drawn(number) for number in range(given.first, given.first + given.runs)]
    running: list[Run] = []
    good, slowest = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < given.jobs:
                case = waiting.pop(0)
                (own := Path(folder, str(case.number))).mkdir()
                run = Run(case, own)
                run.start()
                running.append(run)
            ended = [one for one in running if one.over()]
            running = [one for one in running if one not in ended]
            for run in ended:
                wrong = run.wrong()
                good, slowest = good + (not wrong), max(slowest, run.seconds)
                codes = json.dumps(dict(sorted(run.codes.items())))
                sys.stdout.write(f"{run.case}  {run.seconds:4.1f} s  {codes}{wrong and '  WRONG '}{wrong}\n")
                sys.stdout.flush()
            time.sleep(0.01)
    sys.stdout.write(f"{good} of {given.runs} ended as they should within {LIMIT:g} s; the slowest took {slowest:.1f} s\n")
    return int(good != given.runs)


if __name__ == "__main__":
    sys.exit(main())
