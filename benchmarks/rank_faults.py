"""One rank raises, runs out of memory, ends or stalls, somewhere in a check: how all the others end, with what code and how fast.

python -m benchmarks.rank_faults [--runs 50] [--jobs 2]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import nn

import gradcheck_health.check.diagnose
import gradcheck_health.check.prepare  # noqa: F401 - once, before the forks
from gradcheck_health import GradhealthError, check_gradients
from gradcheck_health.settings.config import Config
from tests.check.distributed.nets import Residual, Transformer, convolutions, mlp
from tests.check.distributed.spread import WAYS

TIMEOUT = 6.0
"""Seconds that the ranks wait for one another."""
LIMIT = 3 * TIMEOUT
"""Seconds after the fault within which every rank has to end: one that goes on to where the others do not come waits anew."""
LONGEST = 120.0
"""Seconds for a case in which the fault never comes."""
KINDS = {"raise": 3, "memory": 3, "quit": 3, "die": 4, "exit": 4, "stall": 4, "stay away": 4}
"""What the rank does -> the exit code of all others, and its own where it lives to have one."""
PLACES = ("forward", "backward", "factory")
SPREAD = (("ddp", 2), ("fsdp", 2), ("tensor", 2), ("hsdp", 4), ("fsdp and tensor", 4), ("fsdp", 4))
MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp, "transformer": Transformer, "convolutions": convolutions, "residual": Residual
}  # fmt: skip
BATCHES = {
    "mlp": lambda n: torch.ones(n, 16), "transformer": lambda n: torch.arange(n * 6).view(n, 6) % 32,
    "convolutions": lambda n: torch.ones(n, 3, 8, 8), "residual": lambda n: torch.ones(n, 12),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run: what goes wrong, where, on which rank, of which model."""

    number: int
    kind: str
    place: str
    way: str
    size: int
    faulty: int
    model: str
    calls: int
    """Passes through the place that go well before."""
    samples: int | None
    """Of the batch that is given; None: it is made up."""

    @classmethod
    def drawn(cls, number: int) -> Case:
        draw = random.Random(number)
        kind = list(KINDS)[number % len(KINDS)]
        way, size = SPREAD[number % len(SPREAD)]
        place = "none" if kind == "stay away" else draw.choice(PLACES)
        samples = draw.choice((None, 2, 4, 8))
        model = draw.choice(("mlp", "transformer") if "tensor" in way else list(MODELS))
        return cls(
            number,
            kind,
            place,
            way,
            size,
            draw.randrange(size),
            model,
            draw.randrange(2 if place == "backward" else 4),
            samples,
        )

    def __str__(self) -> str:
        batch = "made up" if self.samples is None else f"{self.samples} samples"
        where = f"rank {self.faulty} of {self.size}"
        return f"{self.number:3} {self.way:15} {self.model:12} {batch:9}  {where} {self.kind:9} {self.place:8} {self.calls}"


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


def work(case: Case, rank: int, port: int, file: Path) -> NoReturn:
    """One rank: builds, checks, and ends with the code that the command line would end with."""
    code, text = 99, ""
    try:
        os.environ.update(GLOO_SOCKET_IFNAME="lo")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        torch.set_num_threads(1)
        store = dist.TCPStore("127.0.0.1", port, is_master=False)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=case.size)
        dist.barrier()
        if case.kind == "stay away" and rank == case.faulty:
            (file.parent / "fault").touch()
            time.sleep(LONGEST)
        batch = None if case.samples is None else BATCHES[case.model](case.samples)
        check_gradients(lambda: built(case, rank, file.parent), batch, config=Config(timeout=TIMEOUT))
        code = 0
    except GradhealthError as error:
        code, text = int(error.exit_code), str(error)
    except SystemExit:
        code, text = 3, "quit"
    except BaseException as error:  # noqa: BLE001 - it is what the run shows
        text = repr(error)
    finally:
        file.write_text(text)
        os._exit(code)


def built(case: Case, rank: int, folder: Path) -> nn.Module:
    """The model of the case, in which something happens on one rank."""
    if rank == case.faulty and case.place == "factory":
        happen(case.kind, folder)
    torch.manual_seed(0)
    model = MODELS[case.model]()
    layers = [one for one in model.modules() if isinstance(one, nn.Linear | nn.LayerNorm)]
    layer = random.Random(case.number).choice(layers)
    passes = itertools.count()  # a number would be put back by the check

    def reach() -> None:
        if next(passes) >= case.calls:
            happen(case.kind, folder)

    def forward(module: nn.Module, args: tuple[torch.Tensor, ...]) -> Any:
        if case.place == "forward":
            return reach()
        return (Behind.apply(args[0], reach), *args[1:])  # type: ignore[no-untyped-call]

    if rank == case.faulty and case.place in ("forward", "backward"):
        layer.register_forward_pre_hook(forward)
    return WAYS[case.way](model)


class Behind(torch.autograd.Function):
    """Nothing in forward, something in backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, reach: Callable[[], None]) -> torch.Tensor:
        ctx.reach = reach
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        ctx.reach()
        return gradients[0], None


def happen(kind: str, folder: Path) -> None:
    if not (mark := folder / "fault").exists():
        mark.touch()
    if kind == "raise":
        raise ValueError("here only")
    if kind == "memory":
        torch.empty(2**50)
    if kind == "quit":
        sys.exit(0)
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(0)
    while True:
        time.sleep(1)


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
