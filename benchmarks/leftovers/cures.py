"""Every cure on every hard model of the tests: one that runs through, one in which the model raises, one that fails half-way.

python -m benchmarks.leftovers.cures [--only lazy] [--record]
"""

from __future__ import annotations

import argparse
import warnings

import torch
from torch import nn

from benchmarks.promises.gates import record
from tests.check.remedies.test_leftovers import FAULTS, WITHIN, treated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="models with this in their name")
    parser.add_argument("--record", action="store_true", help="write the gate")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.compile(nn.Linear(2, 2), backend="eager")(torch.zeros(1, 2))  # what that imports is no trace
    entries = [entry for entry in WITHIN if options.only in entry.name]
    total, left = 0, []
    for entry in entries:
        for fault in FAULTS:
            applied, _, traces = treated(entry, fault)
            total += applied
            if traces:
                left.append(entry.name)
                print(f"{entry.name}, {fault}: {traces[:5]}", flush=True)
    print(f"{len(set(left))} of {len(entries)} hard models with traces; {total} cures applied")
    if options.record:
        record(
            "traces-4-cures",
            promise="hard models on which a cure, also one that raises, leaves a trace",
            allowed="0",
            reached=f"{len(set(left))} of {len(entries)} with {total} cures applied",
            command="python -m benchmarks.leftovers.cures",
        )


if __name__ == "__main__":
    main()
