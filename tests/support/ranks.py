"""The processes that torchrun would start, on this machine over gloo: the command line, or a function of a test module."""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn


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
    nursery = _nursery(tuple((env or {}).items()))
    assert nursery.stdin and nursery.stdout
    nursery.stdin.write(f"{json.dumps([function, options, size])}\n")
    nursery.stdin.flush()
    if not select.select([nursery.stdout], [], [], 300)[0]:
        nursery.kill()
        _nursery.cache_clear()
        raise AssertionError(f"{function} did not end within 300 s on {size} ranks")
    codes, returned, said = json.loads(nursery.stdout.readline())
    assert not any(codes), f"{function} ended with {codes}\n{said}"
    return [json.loads(one) for one in returned]


@cache
def _nursery(env: tuple[tuple[str, str], ...]) -> subprocess.Popen[str]:
    """The process whose forks the ranks are; it ends with this one, which holds the other end of its input."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **dict(env)}
    command = [sys.executable, "-m", "tests.support.ranks"]
    root = Path(__file__).parents[2]
    made = subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(made.communicate)
    return made


def serve() -> None:
    """Every rank of every launch is a fork of this process, so that torch and what the functions need are imported once."""
    import torch

    torch.set_num_threads(1)
    importlib.import_module("torch._dynamo")  # the first step of an optimizer does it, and so would every rank
    for line in sys.stdin:
        function, options, size = json.loads(line)
        module, _, name = function.partition(":")
        called = partial(getattr(importlib.import_module(module), name), **options)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            children = []
            for rank in range(size):
                if (child := os.fork()) == 0:
                    work(called, rank, size, port, Path(folder))
                children.append(child)
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            returned = [file.read_text() for file in sorted(Path(folder).glob("*.json"))]
            said = Path(folder, "said").read_text(errors="replace")
        sys.stdout.write(f"{json.dumps([codes, returned, said])}\n")
        sys.stdout.flush()


def work(called: Callable[[], Any], rank: int, size: int, port: int, folder: Path) -> NoReturn:
    """One rank."""
    import torch.distributed as dist

    code = 1
    try:
        said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        dist.init_process_group("gloo")
        (folder / f"{rank}.json").write_text(json.dumps(called()))
        dist.barrier()  # the rank that keeps the store leaves last
        code = 0
    except BaseException:  # noqa: BLE001 - shown, and told by the code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
