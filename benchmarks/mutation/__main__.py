"""The share of planted faults that the tests notice, file by file.

    python -m benchmarks.mutation sandbox [--sample 200] [--seed 0] [--record]
    python -m benchmarks.mutation rules --only vanishing_gradient

Each fault costs a fork of a process that has everything imported, and the tests that run its line, the quickest first.
"""

from __future__ import annotations

import argparse
import os
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import gradcheck_health
from benchmarks.mutation.mutants import mutants
from benchmarks.mutation.session import Session, files
from benchmarks.promises.gates import record

PACKAGE = Path(gradcheck_health.__file__).parent
TESTS = PACKAGE.parent / "tests"
SANDBOX = ["model/sandbox/test_sandbox", "model/sandbox/test_leftovers", "model/sandbox/test_snapshot"]
SANDBOX += ["model/sandbox/test_saved_tensor", "model/sandbox/test_tensor_changes"]
RULES = ["rules/test_replay", "rules/test_thresholds_time", "rules/test_thresholds_loss", "rules/test_thresholds_flow"]
RULES += ["rules/test_thresholds_units", "rules/analysis/test_flow", "rules/analysis/test_statistics", "rules/test_rule_bounds"]
RULES += ["rules/test_every_rule", "baseline/test_bounds", "baseline/test_compare"]
"""Those that take seconds; the zoo notices more."""
GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "sandbox": (["model/sandbox"], SANDBOX),
    "rules": (["rules", "rules/analysis", "baseline/layer_matching.py"], RULES),
}
"""name -> (files of the package, files of tests)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--only", default="", help="files with this in their name")
    parser.add_argument("--sample", type=int, help="so many faults, drawn at random; all where it is not given")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--cpu", type=float, default=15.0, help="CPU seconds of tests for one fault")
    parser.add_argument("--record", action="store_true", help="write the gate")
    options = parser.parse_args()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    names, tests = GROUPS[options.group]
    paths = [path for path in files(names, PACKAGE) if options.only in path.name]
    faults = [fault for path in paths for fault in mutants(path)]
    total = len(faults)
    if options.sample is not None and options.sample < total:
        faults = random.Random(options.seed).sample(faults, options.sample)
    faults.sort(key=lambda fault: (fault.path.name, fault.line))
    session = Session(faults, options.cpu)
    if options.group == "rules":
        session.remember()
    there = [str(TESTS / f"{name}.py") for name in tests]
    # a fork has none of the threads of its parent, and waits for them; an interrupt at each line takes its time
    chosen = ["-k", "not threads and not at_any_line"]
    arguments = [
        "-o",
        "addopts=",
        "-p",
        "pytester",
        "-m",
        "not slow and not zoo",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:terminal",
        "-s",
        "-W",
        "ignore:Module already imported",
        *chosen,
        *there,
    ]
    pytest.main(arguments, plugins=[session])
    if len(session.outcomes) < len(faults):
        raise SystemExit(f"{len(session.outcomes)} of {len(faults)} faults were tried: {session.stopped or 'pytest stopped'}")
    report(options, session, total)


def report(options: argparse.Namespace, session: Session, total: int) -> None:
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    for fault, outcome in session.outcomes:
        by_file[str(fault.path.relative_to(PACKAGE))][outcome] += 1
    counts = Counter(outcome for _, outcome in session.outcomes)
    rows = [[name, count["killed"], sum(count.values())] for name, count in sorted(by_file.items())]
    for name, killed, all_of in rows:
        print(f"{name:45} {killed:4} of {all_of:4}  {killed / all_of:6.1%}")
    tried = sum(counts.values())
    print(
        f"{counts['killed']} of {tried} faults noticed ({counts['killed'] / max(tried, 1):.1%}); {total} can be planted; tests that fail without one: {session.failed}"
    )
    if options.record:
        record(
            f"mutation-{options.group}",
            promise=f"faults planted in the code of the {options.group} that the tests notice",
            allowed="85 %",
            reached=f"{counts['killed'] / tried:.1%}: {counts['killed']} of {tried} drawn from {total}",
            command=f"python -m benchmarks.mutation {options.group} --sample {tried} --seed {options.seed}",
            details=rows,
        )


if __name__ == "__main__":
    main()
