"""The processes that torchrun would start, on this machine over gloo: the command line, or a function of a test module."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

RESULT = "RESULT "
"""In front of what a rank returned."""


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
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun keeps it, and no rank
    common = {
        "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port),
        "TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True",
    }  # fmt: skip
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


def torchrun(arguments: Sequence[str], folder: Path, *, size: int = 2) -> tuple[int, list[str]]:
    """The exit code of torchrun itself, and what each rank wrote to its standard output; `folder` is where they run."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size), "--redirects", "3"]
    logs = folder / "logs"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, "--log-dir", str(logs), "-m", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    return done.returncode, [next(logs.glob(f"*/attempt_0/{rank}/stdout.log")).read_text() for rank in range(size)]


def results(function: str, *, size: int = 2, env: Mapping[str, str] | None = None, **options: Any) -> list[Any]:
    """What `package.module:function` returns on each rank, as JSON, with the process group initialised."""
    command = [sys.executable, "-m", "tests.support.ranks", function, json.dumps(options), str(size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **(env or {})}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return [json.loads(line.removeprefix(RESULT)) for line in done.stdout.splitlines() if line.startswith(RESULT)]


def main(function: str, options: str, size: str) -> int:
    """Every rank is a fork of this process, so that torch is imported once."""
    import importlib

    import torch

    torch.set_num_threads(1)
    module, _, name = function.partition(":")
    called = getattr(importlib.import_module(module), name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(int(size)):
            if (child := os.fork()) == 0:
                work(partial(called, **json.loads(options)), rank, int(size), port, Path(folder, str(rank)))
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        sys.stdout.writelines(f"{RESULT}{file.read_text()}\n" for file in sorted(Path(folder).iterdir()))
    return int(any(codes))


def work(called: Callable[[], Any], rank: int, size: int, port: int, file: Path) -> NoReturn:
    """One rank."""
    import torch.distributed as dist

    code = 1
    try:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        dist.init_process_group("gloo")
        file.write_text(json.dumps(called()))
        dist.barrier()  # the rank that keeps the store leaves last
        code = 0
    except BaseException:  # noqa: BLE001 - shown, and told by the code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
