"""A rank that raises, runs out of memory, leaves, is killed, stalls or stays away ends the check of all others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_every_fault_ends_all_ranks_in_time_with_the_right_code() -> None:
    command = [sys.executable, "-m", "benchmarks.rank_faults", "--runs", "7", "--jobs", "3"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 of 7" in done.stdout
