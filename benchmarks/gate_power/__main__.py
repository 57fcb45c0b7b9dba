"""Does the gate flake, and does it see? Every model against its own baseline, over seeds that the baseline never saw.

    python -m benchmarks.gate_power [--runs 100] [--factor 0.1] [name ...]

Unchanged: the model is built under a new seed, and whatever fails is a false alarm. Weakened: the output of one block, another in
each run, hands back a tenth of its gradient. Printed for each model: how many runs failed, with the largest spread over seeds.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.gate_power.subjects import SUBJECTS, Subject, weakened
from gradcheck_health import Report, baseline, check_gradients


def failed(report: Report) -> bool:
    return not report.ok


def run(subject: Subject, runs: int, factor: float, verbose: bool = False) -> tuple[int, int, float]:
    """(false alarms, weakenings seen, largest spread of the flow in decades)."""
    held = baseline.of(check_gradients(subject.build, facts=["reseeded"]))
    spreads = [level.spread for level in held.profile.levels if level.spread is not None]
    alarms = seen = 0
    for i in range(runs):
        seed = 1000 + 10 * i
        report = check_gradients(subject.build, seed=seed, baseline=held)
        alarms += failed(report)
        if verbose and failed(report):
            print(seed, report.failures[0].message, report.change and report.change.failing[:2])
        block = subject.blocks[i % len(subject.blocks)]
        report = check_gradients(weakened(subject.build, block, factor), seed=seed, baseline=held)
        seen += failed(report)
        if verbose and not failed(report):
            shifts = [(s.metric, s.name, s.before, s.now, s.allowed) for s in (report.change.shifts if report.change else ())]
            print("missed", seed, block, shifts[:4])
    return alarms, seen, max(spreads, default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--factor", type=float, default=0.1)
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    print("| model | unchanged: failed | weakened: failed | largest spread, decades | CPU s a check |\n|---|---|---|---|---|")
    for subject in SUBJECTS:
        if options.names and subject.name not in options.names:
            continue
        start = time.process_time()
        alarms, seen, spread = run(subject, options.runs, options.factor, options.verbose)
        each = (time.process_time() - start) / (2 * options.runs)
        print(
            f"| {subject.name} | {alarms} of {options.runs} | {seen} of {options.runs} | {spread:.2f} | {each:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
