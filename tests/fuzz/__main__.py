"""Coverage-guided fuzzing of the readers, on demand; needs atheris (`pip install atheris`), which brings libFuzzer.

    python -m tests.fuzz --runs 100000              each reader so often
    python -m tests.fuzz yaml spec --runs 10000     these only

What breaks is kept under tests/fuzz/failures/<reader>/, where the test suite finds it from then on.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def one(name: str, arguments: list[str]) -> None:
    """Fuzz one reader in this process, which does not come back."""
    import atheris

    with atheris.instrument_imports(include=["gradcheck_health", "tomli", "tomllib", "json"]):
        from tests.fuzz.readers import feed
    atheris.Setup([f"fuzz-{name}", *arguments], lambda data: feed(name, data))
    atheris.Fuzz()


def run(name: str, runs: int, seed: int) -> tuple[int, bool]:
    """(executions, nothing broke)."""
    failures = FOLDER / "failures" / name
    failures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:
        arguments = [f"-runs={runs}", f"-seed={seed}", "-max_len=4096", "-timeout=60", f"-artifact_prefix={failures}/", grown]
        command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--", *arguments, str(FOLDER / "corpus" / name)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    counted = re.findall(r"^#(\d+)\s", done.stderr, re.MULTILINE)
    if done.returncode != 0:
        sys.stderr.write(done.stderr[-3000:])
    return int(counted[-1]) if counted else 0, done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--runs", type=int, default=100_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="note the number in benchmarks/results/gates.json")
    parser.add_argument("--one", metavar="READER", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.readers)
    names = given.readers or sorted(path.name for path in (FOLDER / "corpus").iterdir())
    broken = []
    for name in names:
        started = time.monotonic()
        count, fine = run(name, given.runs, given.seed)
        broken += [] if fine else [name]
        sys.stdout.write(
            f"{name:<16} {count:>9} executions, {time.monotonic() - started:6.0f} s, {'fine' if fine else 'BROKEN'}\n"
        )
        sys.stdout.flush()
        if given.record and fine:
            note(name, count)
    return 1 if broken else 0


def note(name: str, count: int) -> None:
    """Beside what was reached for the other readers."""
    from benchmarks.promises import gates

    key = "fuzzed-readers"
    before = json.loads(gates.GATES.read_text()).get(key, {}).get("details", {}) if gates.GATES.exists() else {}
    details = {**before, name: count}
    gates.record(
        key,
        promise="settings, reports, baselines, inputs, options that a coverage-guided fuzzer makes up: only our own errors",
        allowed="1 000 000, under 1 s each",
        reached=f"{sum(details.values())} over {len(details)} readers",
        command="python -m tests.fuzz --record",
        details=details,
    )


if __name__ == "__main__":
    sys.exit(main())
