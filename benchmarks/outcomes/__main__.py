"""Does a verdict say what training does? Nets that set no limit, judged, and trained for a short while.

    python -m benchmarks.outcomes [--part 0/1] [--out benchmarks/results/outcomes.json]

Nets of many kinds, widths, depths, activations and initialisations. The outcome is an experiment that knows nothing of the
package: does SGD with momentum, or Adam, halve the loss of a task within 300 steps, at the best of several learning rates, for
most of three initialisations? The score is what the flow rules compare with their limits, on a log scale: how far the ratio lies
inside of them, the limit being -1. A recurrence has to recall its first step, 20 steps back; its score is what the time rules
compare. The verdict is the errors of a whole check with nothing set but `optimizer`. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.borderline.__main__ import auc
from benchmarks.outcomes.nets import STEPS_BACK, Net, nets
from benchmarks.outcomes.training import LEARNT, RATES, STEPS, batch, learns
from gradcheck_health import Severity, check_gradients
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe, take
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules import exploding_gradient, vanishing_gradient, vanishing_through_time
from gradcheck_health.rules.analysis import flow, recurrence

SEEDS = 3

Row = dict[str, Any]


def score(model: nn.Module, task: str, optimizer: str) -> float:
    """-1 at the limit, below it a ratio that the rules call sick."""

    def drawn(seed: int) -> Inputs:
        x = batch(task, seed)
        return Inputs((x,), batch=len(x), resample=drawn)

    subject = Subject(model, drawn(0), declared=Declared(optimizer=optimizer))
    with sandbox(model):
        trace = probe(subject)
    if task == "recall":
        (profile,) = recurrence.profiles(_with(trace, subject, "time_profile"))
        return flow.log10(recurrence.ratio(profile, STEPS_BACK)) / -math.log10(vanishing_through_time.LIMIT)
    for fact in ("kicked", "after_steps"):
        trace = _with(trace, subject, fact)
    ratios = [flow.log10(value) for value in flow.fact_ratios(trace)]
    lowest = vanishing_gradient.LIMITS[optimizer]
    highest = exploding_gradient.flow_limit(trace)
    return min(max(ratios) / -math.log10(lowest), -min(ratios) / math.log10(highest))


def _with(trace: Trace, subject: Subject, fact: str) -> Trace:
    return dataclasses.replace(trace, facts={**trace.facts, fact: take(fact, subject, trace)})


def measured(net: Net, optimizer: str) -> Row:
    scores, verdicts = [], []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = net.build()
        scores.append(score(model, net.task, optimizer))
        report = check_gradients(model, batch(net.task, 0), optimizer=optimizer, seed=seed)
        verdicts.append(sorted({f.rule for f in report.findings if f.severity is Severity.ERROR}))
    learnt = learns(net.build, net.task, optimizer, SEEDS)
    return {
        "net": net.name,
        "kind": net.kind,
        "optimizer": optimizer,
        "score": round(sum(max(value, -9.0) for value in scores) / SEEDS, 3),
        "errors": sorted({rule for found in verdicts for rule in found}),
        "sick": 2 * sum(map(bool, verdicts)) > SEEDS,
        "learnt": learnt,
        "learns": 2 * sum(learnt) > SEEDS,
    }


def summary(rows: list[Row]) -> Row:
    judged: Row = {}
    for optimizer, time in itertools.product(RATES, (False, True)):
        part = [row for row in rows if row["optimizer"] == optimizer and (row["kind"] == "recurrence") == time]
        counts = Counter(
            f"{'error' if row['sick'] else 'no error'}, {'learns' if row['learns'] else 'does not learn'}" for row in part
        )
        judged[f"{optimizer}, {'time' if time else 'flow'}"] = {
            "nets": len(part),
            "auc": auc([(row["score"], row["learns"]) for row in part]),
            "verdicts": dict(sorted(counts.items())),
        }
    return {
        "command": "python -m benchmarks.outcomes",
        "torch": torch.__version__.partition("+")[0],
        "steps": STEPS,
        "learnt": LEARNT,
        "rates": RATES,
        "seeds": SEEDS,
        "judged": judged,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="0/1", help="k/n: every n-th net, from the k-th on")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "outcomes.json")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows: list[Row] = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    known = {(row["net"], row["optimizer"]) for row in rows}
    first, every = map(int, options.part.split("/"))
    for net, optimizer in itertools.product(list(nets())[first::every], RATES):
        if (net.name, optimizer) in known:
            continue
        rows.append(measured(net, optimizer))
        print(json.dumps(rows[-1]), flush=True)
        options.out.write_text(json.dumps(summary(rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
