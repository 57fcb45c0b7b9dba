"""Cold starts: every command, the pytest plugin, the smallest check, many models in workers."""

from __future__ import annotations

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
"""Measured by the wall, and only on a quiet machine; the others by their CPU time."""
QUIET = 1.0
"""Load average up to which the wall says something."""


def cpu_ms(command: list[str], folder: Path) -> float:
    """CPU time of a process and its children, which neighbours on the machine disturb least."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.decode()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def wall_ms(command: list[str], folder: Path) -> float:
    """A check works in a grandchild, whose CPU time is not this process's to see."""
    start = time.perf_counter()
    cpu_ms(command, folder)
    return 1e3 * (time.perf_counter() - start)


def commands(repeats: int) -> dict[str, float]:
    """Name -> median milliseconds of CPU; every command once a turn."""
    wall = os.getloadavg()[0] < QUIET
    chosen = {key: args for key, args in COMMANDS.items() if wall or key not in WALL}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.py").write_text(SMALL)
        rows = [
            {key: (wall_ms if key in WALL else cpu_ms)([sys.executable, *args], folder) for key, args in chosen.items()}
            for _ in range(repeats + 1)
        ]
    found = {key: statistics.median(row[key] for row in rows[1:]) for key in chosen}
    if wall:
        over_torch = [row["check, smallest"] - row["import torch"] for row in rows[1:]]
        found["check, smallest, beyond import torch"] = statistics.median(over_torch)
    found["plugin"] = plugin_ms(repeats)
    for key, value in found.items():
        print(f"{key:40} {value:8.1f} ms", flush=True)
    return found


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
        together = wall_ms([*base, "--jobs", "2", *names], folder) / 1e3
        apart = sum(wall_ms([*base, target], folder) for target in names) / 1e3
    found = {"models": models, "together_s": together, "apart_s": apart, "times": apart / together}
    print(found, flush=True)
    return found
