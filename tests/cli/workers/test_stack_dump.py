"""Where a process stood, out of what faulthandler wrote; how much memory it may use."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gradcheck_health.cli.workers import stack_dump
from gradcheck_health.model import memory
from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings.resolution import load
from gradcheck_health.settings.source import Source

PACKAGE = Path(stack_dump.__file__).parents[2]
TORCH = "/venv/lib/python3.11/site-packages/torch"


def dump(*frames: tuple[str, str], head: str = "Current thread 0x00007f01") -> str:
    """A stack as faulthandler writes it; frames from the innermost outwards."""
    lines = [f'  File "{file}", line {i} in {name}' for i, (file, name) in enumerate(frames, 1)]
    return "\n".join([f"{head} (most recent call first):", *lines, ""])


FORWARD = (f"{TORCH}/nn/modules/module.py", "_call_impl")
BACKWARD = (f"{TORCH}/autograd/graph.py", "_engine_run_backward")
OWN = ("/home/me/model.py", "forward")


@pytest.mark.parametrize(
    ("frames", "phase"),
    [
        ([OWN, FORWARD], "in forward"),
        ([OWN, BACKWARD, FORWARD], "in backward"),
        ([OWN, FORWARD, BACKWARD], "in forward"),
        ([OWN, (f"{PACKAGE}/check/prepare.py", "_build")], "while building it"),
        ([OWN, (f"{PACKAGE}/targets/arguments/complete.py", "complete")], "while building it"),
        (
            [OWN, ("<frozen importlib._bootstrap>", "_load"), (f"{PACKAGE}/targets/importing.py", "_import_file")],
            "while importing it",
        ),
        ([OWN, FORWARD, (f"{PACKAGE}/inputs/search/trial.py", "run")], "in forward"),
        ([(f"{PACKAGE}/inputs/search/solver.py", "solve")], "while making up inputs"),
        ([OWN], None),
    ],
)
def test_phase_is_that_of_the_innermost_frame_that_tells(frames: list[tuple[str, str]], phase: str | None) -> None:
    standing = stack_dump.read(dump(*frames), 0)
    assert standing is not None
    assert standing.phase == phase


def test_thread_that_crashed_counts_and_without_a_crash_the_main_thread() -> None:
    main = dump(("/home/me/main.py", "wait"), head="Thread 0x0000000a")
    other = dump(("/home/me/other.py", "work"), head="Thread 0x0000000b")
    crashed = dump(("/home/me/crash.py", "go"))
    for text, place in [(other + main, "main.py"), (main + other, "main.py"), ("Fatal\n" + crashed + other, "crash.py")]:
        standing = stack_dump.read(text, 10)
        assert standing is not None
        assert [place in line for line in standing.lines] == [True]
    assert stack_dump.read(other, 10) is None
    assert stack_dump.read("", 10) is None
    assert stack_dump.read("\x00 junk\n  File without a head\n", 10) is None


def test_line_of_source_is_shown_only_of_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("while True:\n    spin()\n")
    os.mkfifo(tmp_path / "pipe.py")
    text = "Current thread 0x01 (most recent call first):\n" + "".join(
        f'  File "{tmp_path}/{name}", line 2 in f\n' for name in ("model.py", "pipe.py", "gone.py")
    )
    standing = stack_dump.read(text, 0)
    assert standing is not None
    assert standing.lines == tuple(
        f"  {tmp_path}/{name}" for name in ("gone.py:2 in f", "pipe.py:2 in f", "model.py:2 in f: spin()")
    )


@pytest.mark.slow
def test_real_dump_is_read(tmp_path: Path) -> None:
    """Of this very Python, whatever its faulthandler writes."""
    path = tmp_path / "stuck.py"
    path.write_text(
        "import faulthandler, sys, threading, time\nprint(threading.get_ident(), flush=True)\n"
        "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "def stuck():\n    time.sleep(9)\n"
        "faulthandler.dump_traceback_later(0.3, exit=True)\nstuck()\n"
    )
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    standing = stack_dump.read(done.stderr, int(done.stdout))
    assert standing is not None
    assert standing.lines[-1] == f"  {path}:5 in stuck: time.sleep(9)"
    assert threading.get_ident() != int(done.stdout)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8G", 8 * 2**30), ("1.5 GiB", 3 * 2**29), ("512M", 2**29), ("64KB", 2**16), ("2TiB", 2**41), ("none", None)],
)
def test_size_as_a_user_writes_it(text: str, size: int | None) -> None:
    assert load(isolated=True, over=[Source("--memory", {"memory": text})]).memory == text
    assert memory.limit(text) == size


@pytest.mark.parametrize("text", ["8", "G", "-1G", "8 gigabytes", "1e9G", "", "none at all", "8G\n", "1.2.3G"])
def test_size_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="allowed: a size such as '8G'"):
        load(isolated=True, over=[Source("--memory", {"memory": text})])


def test_default_is_what_the_machine_or_its_container_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CONTAINER", (tmp_path / "nothing", limit))
    assert memory.available() == machine
    limit.write_text("max\n")
    assert memory.limit(None) == int(0.9 * machine)
    limit.write_text(f"{2**20}\n")
    assert memory.limit(None) == int(0.9 * 2**20)
    limit.write_text(f"{2**60}\n")
    assert memory.available() == machine


def test_shown_size() -> None:
    assert [memory.format_size(size) for size in (512, 2**20, 3 * 2**29, 2**41)] == ["512 B", "1 MiB", "1.5 GiB", "2 TiB"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
def test_limit_holds_and_does_not_count_what_torch_brings(tmp_path: Path) -> None:
    program = """
import torch
from gradcheck_health.records.errors import ran_out_of_memory
from gradcheck_health.model import memory
assert memory.restricted() is None
assert memory.restrict(2**30)
torch.ones(2**27)  # half of it
try:
    torch.ones(2**29)
except RuntimeError as error:
    assert ran_out_of_memory(ValueError("around it")) is False
    assert ran_out_of_memory(error)
    print(memory.format_size(memory.restricted()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "1 GiB\n", done.stderr
