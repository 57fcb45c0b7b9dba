"""One rank of a case: it builds, checks, and ends; something happens on the faulty one."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import nn

import gradcheck_health.check.diagnose
import gradcheck_health.check.prepare  # noqa: F401 - once, before the forks
from benchmarks.rank_faults.cases import BATCHES, LONGEST, MODELS, TIMEOUT, Case
from gradcheck_health import GradhealthError, check_gradients
from gradcheck_health.settings.config import Config
from tests.check.distributed.spread import WAYS


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
