"""Random modules, as many as are wanted: nothing left behind, gradients as bare autograd, norms as in float64, verdicts by no scale.

    python -m benchmarks.leftovers.random_modules 100000 [--first 1000] [--record]

A failing seed prints its source, and the shortest module that fails as well. The tests run the first thousand seeds.
"""

from __future__ import annotations

import argparse
import time
import warnings

from benchmarks.promises.gates import record
from tests.model.leftovers.grammar import Program
from tests.model.leftovers.invariants import complaint


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--record", action="store_true", help="write the gate")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    start = time.process_time()
    for number in range(options.count):
        said = complaint(Program.drawn(options.first + number))
        if said:
            failed += 1
            print(said, flush=True)
        if (number + 1) % 1000 == 0:
            print(f"{number + 1} modules, {failed} failed, {time.process_time() - start:.0f} s", flush=True)
    if options.record:
        record(
            "traces-3-random-modules",
            promise="random modules that come back bit-identical, with the gradients of bare autograd",
            allowed="1000 of 1000 a run, more on demand",
            reached=f"{options.count - failed} of {options.count}",
            command=f"python -m benchmarks.leftovers.random_modules {options.count}",
        )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
