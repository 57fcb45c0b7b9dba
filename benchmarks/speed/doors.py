"""Cold starts: every command, the pytest plugin, the smallest check, many models in workers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SMALL = "from torch import nn\n\n\ndef build():\n    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))\n"
COMMANDS: dict[str, list[str]] = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "--version": ["-m", "gradcheck_health", "--version"],
    "--help": ["-m", "gradcheck_health", "--help"],
    "rules": ["-m", "gradcheck_health", "rules"],
    "explain": ["-m", "gradcheck_health", "explain", "vanishing-gradient"],
    "config": ["-m", "gradcheck_health", "config"],
    "check, smallest": ["-m", "gradcheck_health", "check", "small.py"],
}
WALL = ("import torch", "check, smallest")
"""Measured by the wall, too, on a quiet machine."""
QUIET = 1.0
"""Load average up to which the wall says something."""
_ADOPT = 36
"""PR_SET_CHILD_SUBREAPER: processes whose parent has ended come to this one, and their time can be counted."""


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Milliseconds by the wall, and of CPU, of a process and all that it started; neighbours on the machine disturb the CPU least."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    wall = 1e3 * (time.perf_counter() - start)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode()[-500:]}")
    with contextlib.suppress(ChildProcessError):
        while True:  # a check works in a grandchild
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def commands(repeats: int) -> dict[str, float]:
    """Name -> median milliseconds of CPU; every command once a turn."""
    quiet = os.getloadavg()[0] < QUIET
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.py").write_text(SMALL)
        rows = [{key: run([sys.executable, *args], folder) for key, args in COMMANDS.items()} for _ in range(repeats + 1)][1:]
    found = {key: statistics.median(row[key][1] for row in rows) for key in COMMANDS}
    found["check, smallest, beyond import torch"] = _beyond(rows, 1)
    if quiet:
        found |= {f"{key}, by the wall": statistics.median(row[key][0] for row in rows) for key in WALL}
        found["check, smallest, beyond import torch, by the wall"] = _beyond(rows, 0)
    found["plugin"] = plugin_ms(repeats)
    for key, value in found.items():
        print(f"{key:40} {value:8.1f} ms", flush=True)
    return found


def _beyond(rows: list[dict[str, tuple[float, float]]], measure: int) -> float:
    return statistics.median(row["check, smallest"][measure] - row["import torch"][measure] for row in rows)


def plugin_ms(repeats: int) -> float:
    """CPU of importing the plugin in a process that has pytest already; the lowest, since nothing else can be in it."""
    code = (
        "import time, pytest; start = time.process_time(); import gradcheck_health.pytest_plugin; "
        "print(1e3 * (time.process_time() - start))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", code]
    return min(float(subprocess.check_output(run, env=environment, cwd=ROOT)) for _ in range(repeats))


def jobs(models: int = 30) -> dict[str, Any]:
    """Seconds of one `check --jobs 2` over small models, against a process for each of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"small{i}.py" for i in range(models)]
        for target in names:
            (folder / target).write_text(SMALL)
        base = [sys.executable, "-m", "gradcheck_health", "check"]
        together = run([*base, "--jobs", "2", *names], folder)[0] / 1e3
        apart = sum(run([*base, target], folder)[0] for target in names) / 1e3
    found = {"models": models, "together_s": together, "apart_s": apart, "times": apart / together}
    print(found, flush=True)
    return found
