"""The processes that torchrun would start, on this machine over gloo: the command line, or a function of a test module."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How one of the processes ended."""

    code: int
    out: str
    err: str
    seconds: float


def launch(
    arguments: Sequence[str], *, size: int = 2, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> list[Ended]:
    """`python ARGUMENTS` as each of `size` ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    started, processes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        files = [(open(f"{folder}/{rank}.out", "w+"), open(f"{folder}/{rank}.err", "w+")) for rank in range(size)]  # noqa: SIM115
        for rank, (out, err) in enumerate(files):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
            environment = {**os.environ, **common, **own, **(env or {})}
            processes.append(subprocess.Popen([sys.executable, *arguments], env=environment, stdout=out, stderr=err, cwd=cwd))
        ended = []
        for process, (out, err) in zip(processes, files, strict=True):
            code = process.wait(300)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read())
                file.close()
            ended.append(Ended(code, *texts, time.monotonic() - started))
    return ended


def results(function: str, *, size: int = 2, **options: Any) -> list[Any]:
    """What `package.module:function` returns on each rank, as JSON, with the process group initialised."""
    ended = launch(["-m", "tests.support.ranks", function, json.dumps(options)], size=size, cwd=Path(__file__).parents[2])
    for rank, one in enumerate(ended):
        assert one.code == 0, f"rank {rank} ended with {one.code}:\n{one.out}\n{one.err}"
    return [json.loads(one.out.rpartition("RESULT ")[2]) for one in ended]


def main(function: str, options: str) -> None:
    import importlib

    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    module, _, name = function.partition(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(options))
    sys.stdout.write(f"RESULT {json.dumps(result)}\n")
    dist.barrier()  # the rank that keeps the store leaves last
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
