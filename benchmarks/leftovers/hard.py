"""Every hard model of the tests, made to fail at every operation of forward and backward under observation.

python -m benchmarks.leftovers.hard [--only lazy] [--every 4] [--record]
"""

from __future__ import annotations

import argparse
import contextlib
import warnings

import torch
from torch import nn

from benchmarks.promises.gates import record
from gradcheck_health import check_gradients
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.model.sandbox.process import process_guard
from gradcheck_health.probe import Subject, probe
from gradcheck_health.records.inputs import Inputs
from tests.model.leftovers.catalogue import HARD
from tests.model.leftovers.faults import FaultAt, Injected
from tests.model.leftovers.fingerprint import Fingerprint
from tests.model.leftovers.hard import Hard


def measure(entry: Hard, every: int) -> tuple[int, list[str]]:
    """How often it was made to fail, and where that, or a whole check, left it changed."""
    model, x = entry.build()
    everything = (model, x, *entry.watched)
    before = Fingerprint.of(*everything)
    check_gradients(model, x)
    places = dict.fromkeys(before.differences(Fingerprint.of(*everything)))
    mode = FaultAt()
    _observed(model, x, mode)
    times = 0
    for at in range(len(entry.name) % every, mode.count, every):
        for error in (Injected, KeyboardInterrupt):
            with contextlib.suppress(Exception, KeyboardInterrupt):
                _observed(model, x, FaultAt(at, error))
            times += 1
            places |= dict.fromkeys(before.differences(Fingerprint.of(*everything)))
    return times, list(places)


def _observed(model: object, x: object, mode: FaultAt) -> None:
    with process_guard(), sandbox(model), mode:
        probe(Subject(model, Inputs((x,), batch=len(x))))


def _import_everything() -> None:
    """What torch patches and imports at the first check, and at the first call of a compiled module, is no trace of this one."""
    check_gradients(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 4)), torch.randn(4, 4))
    torch.compile(nn.Linear(2, 2), backend="eager")(torch.zeros(1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="models with this in their name")
    parser.add_argument("--every", type=int, default=1, help="fail at every such operation")
    parser.add_argument("--record", action="store_true", help="write the gate")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    _import_everything()
    total, left = 0, {}
    entries = [entry for entry in HARD if options.only in entry.name]
    for entry in entries:
        times, places = measure(entry, options.every)
        total += times
        if places:
            left[entry.name] = entry.beyond or "unexpected"
            print(f"{entry.name}: {places[:5]} ({left[entry.name]})", flush=True)
    print(f"{len(left)} of {len(entries)} hard models with traces; {total} faults injected")
    if options.record:
        names = "; ".join(f"{name} ({why})" for name, why in left.items())
        record(
            "traces-2-hard-models",
            promise="hard models in which a check, an error at any operation or Ctrl-C there leaves a trace",
            allowed="2 of 40, listed by name",
            reached=f"{len(left)} of {len(entries)} with {total} faults: {names}",
            command=f"python -m benchmarks.leftovers.hard --every {options.every}",
        )


if __name__ == "__main__":
    main()
