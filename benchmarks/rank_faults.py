"""A rank that raises, ends or stalls, at another place each time: how the other one ends, with what code, and how fast.

python -m benchmarks.rank_faults [--runs 50]
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import socket
import sys
import time
from typing import NoReturn

TIMEOUT = 4.0
"""Seconds that the ranks wait for one another."""
LIMIT = 3 * TIMEOUT + 10
"""Seconds within which the other rank has to end: building, two waits, and a loaded machine."""
KINDS = {"raise": 3, "die": 4, "exit": 4, "stall": 4}
"""What rank 1 does -> the exit code that rank 0 has to end with."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    import torch
    import torch.distributed.fsdp

    import gradcheck_health.check.diagnose
    import gradcheck_health.check.prepare  # noqa: F401 - once, before the forks

    torch.set_num_threads(1)
    good, slowest = 0, 0.0
    for run in range(runs):
        kind = list(KINDS)[run % len(KINDS)]
        way = ("ddp", "fsdp")[run // len(KINDS) % 2]
        code, seconds = pair(kind, way, seed=run)
        right = code == KINDS[kind] and seconds < LIMIT
        good, slowest = good + right, max(slowest, seconds)
        sys.stdout.write(f"{run:3} {way:4} {kind:5} code {code} after {seconds:.1f} s{'' if right else '  WRONG'}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{good} of {runs} ended with the right code within {LIMIT:g} s; the slowest took {slowest:.1f} s\n")
    return int(good != runs)


def pair(kind: str, way: str, seed: int) -> tuple[int, float]:
    """The exit code of rank 0, and how long it took to get there once rank 1 was started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            work(rank, port, kind, way, seed)
        children.append(child)
    code: int | None = None
    while code is None and time.monotonic() < started + LIMIT:
        done, status = os.waitpid(children[0], os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if done else None
        time.sleep(0.01)
    seconds = time.monotonic() - started
    for child in children if code is None else children[1:]:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            continue
    return -1 if code is None else code, seconds


def work(rank: int, port: int, kind: str, way: str, seed: int) -> NoReturn:
    """One rank: builds, checks, and ends with the code that the command line would end with."""
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    from gradcheck_health import GradhealthError, check_gradients

    code = 99
    try:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        dist.init_process_group("gloo")
        calls = random.Random(seed).randrange(4)

        class Fault(nn.Module):
            """On rank 1 something happens at one of the first calls."""

            def __init__(self) -> None:
                super().__init__()
                self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 4)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                h = torch.relu(self.first(x))
                if rank == 1 and next(seen) >= calls:
                    happen(kind)
                y: torch.Tensor = self.second(h)
                return y

        seen = itertools.count()  # a number would be put back by the check
        torch.manual_seed(0)
        net: nn.Module = Fault()
        if way == "fsdp":
            for layer in (net.first, net.second):
                fully_shard(layer)
        model = fully_shard(net) if way == "fsdp" else DistributedDataParallel(net)
        from gradcheck_health.settings.config import Config

        check_gradients(model, torch.ones(8, 16), config=Config(timeout=TIMEOUT))
        code = 0
    except GradhealthError as error:
        code = int(error.exit_code)
    finally:
        os._exit(code)


def happen(kind: str) -> None:
    if kind == "raise":
        raise ValueError("here only")
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        os._exit(0)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
