"""A rank that raises, ends or stalls ends the check of the other, in time and with the right code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_fault_in_both_kinds_of_model() -> None:
    command = [sys.executable, "-m", "benchmarks.rank_faults", "--runs", "8"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 of 8" in done.stdout
