"""The gates of docs/safety.md that are tests: each is run, with as many cases as a release asks for, and noted if it holds.

python -m benchmarks.promises            all of them
python -m benchmarks.promises faults     this one
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.promises import gates  # noqa: E402 - of this checkout


@dataclass(frozen=True)
class Gate:
    """A promise, and the tests that hold it."""

    key: str
    promise: str
    allowed: str
    tests: tuple[str, ...]
    reached: Callable[[], str]
    """What is shown where they pass."""


def faults() -> str:
    """Every fault of the table."""
    from tests.cli.test_faults import FAULTS

    return f"{len(FAULTS)} of {len(FAULTS)}"


def names() -> str:
    """Every hostile name in every format that has a reader."""
    from tests.formats.test_documents import READERS
    from tests.support.hostile import HOSTILE

    return f"all of {len(HOSTILE)} names x {len(READERS)} formats"


def silent() -> str:
    """Every spelling of a rectifier, every way to NaN and Inf, and norms of every kind and size."""
    from tests.probe.test_gaps import RECTIFIERS, SPOILERS

    return f"0 of {2 * len(RECTIFIERS)} layers with dead units, {len(SPOILERS)} ways to NaN or Inf, 40 norms"


def examples() -> str:
    """Of each reader."""
    from tests.fuzz.readers import READERS

    return f"{EXAMPLES} of each of {len(READERS)} readers"


EXAMPLES = 10_000
GATES = {
    "faults": Gate(
        "fault-fixtures",
        "targets that crash, hang, flood the output or forge results: the right exit code, valid JSON, results before and after kept",
        "60 of 60",
        ("tests/cli/test_faults.py",),
        faults,
    ),
    "killed": Gate(
        "killed-writers",
        "kill -9 of who writes a baseline leaves a whole file",
        "1000 of 1000",
        ("tests/baseline/test_files.py::test_killed_writer_leaves_a_whole_file",),
        lambda: "1000 of 1000",
    ),
    "writers": Gate(
        "competing-writers",
        "updates of one baseline at once that are kept",
        "16 writers x 100",
        ("tests/baseline/test_files.py::test_competing_writers_lose_nothing",),
        lambda: "1600 of 1600",
    ),
    "names": Gate(
        "hostile-names",
        "names that attack the reader: every format is read again",
        "names x formats",
        ("tests/formats/test_documents.py::test_hostile_name_leaves_every_document_readable",),
        names,
    ),
    "silent": Gate(
        "missed-in-silence",
        "dead units, NaN, Inf and norms that are missed: neither found nor reported as a gap",
        "0",
        ("tests/probe/test_gaps.py",),
        silent,
    ),
    "examples": Gate(
        "generated-examples",
        "settings, reports, baselines, inputs, options made up by hypothesis: only our own errors, under 1 s each",
        "10 000",
        ("tests/fuzz/test_fuzz.py::test_whatever_bytes_are_read", "tests/fuzz/test_fuzz.py::test_only_our_own_errors_come_out"),
        examples,
    ),
}


def measure(name: str) -> bool:
    """Run the tests of a gate; note it if they pass."""
    gate = GATES[name]
    environment = {**os.environ, "GRADHEALTH_STRESS": "1", "GRADHEALTH_EXAMPLES": str(EXAMPLES), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *gate.tests]
    passed = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    if passed:
        gates.record(
            gate.key,
            promise=gate.promise,
            allowed=gate.allowed,
            reached=gate.reached(),
            command=f"python -m benchmarks.promises {name}",
        )
    return passed


if __name__ == "__main__":
    outcomes = [measure(name) for name in sys.argv[1:] or GATES]
    sys.exit(0 if all(outcomes) else 1)
