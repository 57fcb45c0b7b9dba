"""Treat sick models: the zoo's and the further ones, verdict and learning with the first suggestion.

python -m benchmarks.remedies --set further --part 0/3     writes benchmarks/results/remedies.jsonl, a line a model; resumable
python -m benchmarks.remedies --summary                    makes benchmarks/results/remedies.json of it
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.remedies.autotrainer import autotrainer
from benchmarks.remedies.further import KINDS
from gradcheck_health import rules as rule_files
from gradcheck_health.check.diagnose import diagnose
from gradcheck_health.check.prepare import prepared
from gradcheck_health.check.remedies.apply import apply, with_loss
from gradcheck_health.check.remedies.catalogue import remedies
from gradcheck_health.check.remedies.operations import survey
from gradcheck_health.check.remedies.patient import Patient
from gradcheck_health.check.remedies.short_run import short_run
from gradcheck_health.check.remedies.trial import Clinic, try_remedies
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.report import Report
from gradcheck_health.records.training import Training
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.resolution import override
from tests.zoo.sick import SICK

LINES = Path(__file__).parents[1] / "results" / "remedies.jsonl"
KIND_OF = {
    "vanishing-gradient": "flow", "exploding-gradient": "flow", "vanishing-through-time": "time",
    "exploding-through-time": "time", "dead-unit": "units", "saturated-activation": "units", "identical-units": "identical",
    "double-softmax": "double-softmax", "nonfinite-gradient": "nan", "unbalanced-gradient": "others",
    "high-initial-loss": "others", "half-precision-overflow": "others", "half-precision-underflow": "others",
}  # fmt: skip
STEPS, LEARNS = 60, 0.5
LEARNERS = ("flow", "time", "units", "identical")


def subjects(which: str) -> Iterator[tuple[str, str, nn.Module, Any, dict[str, Any]]]:
    """(name, kind, model, inputs, settings)."""
    if which == "zoo":
        for entry in SICK:
            if entry.rule in KIND_OF:
                model, inputs = entry.build()
                yield f"zoo/{entry.name}", KIND_OF[entry.rule], model, inputs, dict(entry.settings)
    else:
        for kind, table in KINDS.items():
            for name, make in table.items():
                torch.manual_seed(0)
                model, inputs = make()
                yield f"further/{name}", kind, model, inputs, {}


def learns(subject: Subject) -> float | None:
    """What is left of the loss after the better of two short runs, Adam and SGD."""
    found = []
    for optimizer in ("adam", "sgd"):
        with sandbox(subject.model, process=False):
            run = short_run(subject, STEPS, optimizer)
        if run is not None:
            found.append(run.share)
            if run.share < LEARNS:
                break
    return min(found, default=None)


def cured(subject: Subject, report: Report, position: int, name: str) -> float | None:
    """The same under a cure."""
    with sandbox(subject.model, process=False):
        patient = Patient(subject, report.trace, survey(subject))
    with sandbox(subject.model, process=False):
        change = apply(remedies()[name], patient, report.findings[position])
        return learns(with_loss(subject, change))


def measured(kind: str, model: nn.Module, inputs: Any, settings: dict[str, Any]) -> dict[str, Any]:
    chosen = override(
        Config(), **{name: value for name, value in settings.items() if name not in ("loss", "targets", "optimizer")}
    )
    rules = rule_files.load(())
    handed = Training.of(model, inputs, settings.get("loss"), settings.get("targets"))
    with prepared(handed, chosen) as (subject, environment):
        begun = time.process_time()
        report = diagnose(subject, environment, rules, chosen)
        checked = time.process_time()
        treated = try_remedies(subject, report, Clinic.of(environment, rules, chosen, None, checked - begun))
        done = time.process_time()
        sick = [one for one in report.active if one.severity is not Severity.NOTE]
        row: dict[str, Any] = {
            "kind": kind,
            "findings": [one.rule for one in sick],
            "checks": (done - checked) / (checked - begun),
            "tried": len(treated.remedies),
            "raised": [f"{one.remedy}: {one.why}" for one in treated.remedies if one.outcome == "raised"],
        }
        if not sick:
            return row
        row["autotrainer"] = autotrainer(subject, report, rules, environment, chosen, learns if kind in LEARNERS else None)
        good = [one for one in treated.remedies if one.helps]
        good.sort(key=lambda one: one.outcome != "sound")
        row["first"] = {"remedy": good[0].remedy, "outcome": good[0].outcome, "revealed": good[0].revealed} if good else None
        row["three"] = [one.remedy for one in good[:3]]
        if kind in LEARNERS:
            row["before"] = learns(subject)
            row["after"] = []
            for one in good[:3]:  # the others only where the first does not learn
                row["after"].append(cured(subject, report, one.finding, one.remedy))
                if (row["after"][0] or 9) < LEARNS:
                    break
    return row


def summary() -> dict[str, Any]:
    rows = [json.loads(line) for line in LINES.read_text().splitlines()]
    checks = sorted(row["checks"] for row in rows)
    return {
        "command": "python -m benchmarks.remedies",
        "torch": torch.__version__,
        "steps": STEPS,
        "sets": {name: _by_kind([row for row in rows if row["name"].startswith(f"{name}/")]) for name in ("further", "zoo")},
        "checks": {"median": checks[len(checks) // 2], "largest": checks[-1]},
        "without": [row["name"] for row in rows if row["findings"] and row["first"] is None],
        "not_sick": [row["name"] for row in rows if not row["findings"]],
        "raised": sum(bool(row["raised"]) for row in rows),
    }


def _by_kind(rows: list[dict[str, Any]]) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {}
    for kind in [*KINDS, "all"]:
        of = [row for row in rows if row["findings"] and (kind in ("all", row["kind"]))]
        still = [row for row in of if row.get("before") is not None and row["before"] >= LEARNS]
        kinds[kind] = {
            "models": len(of),
            "gone": sum(row["first"] is not None for row in of),
            "sound": sum(row["first"] is not None and row["first"]["outcome"] == "sound" for row in of),
            "autotrainer_sound": sum(row["autotrainer"]["sound"] for row in of),
            "did_not_learn": len(still),
            "first_learns": sum(bool(row["after"]) and (row["after"][0] or 9) < LEARNS for row in still),
            "of_three_learns": sum(any((one or 9) < LEARNS for one in row["after"]) for row in still),
            "autotrainer_learns": sum((row["autotrainer"].get("learns") or 9) < LEARNS for row in still),
        }
    return kinds


def _first() -> tuple[nn.Module, Any, dict[str, Any]]:
    model, inputs = KINDS["flow"][next(iter(KINDS["flow"]))]()
    return model, inputs, {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="further", choices=("further", "zoo"))
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.summary:
        text = json.dumps(summary(), indent=1)
        LINES.with_suffix(".json").write_text(f"{text}\n")
        print(text)
        return
    measured("flow", *_first())  # what torch imports and loads at the first check belongs to no model
    part, parts = map(int, options.part.split("/"))
    done = {json.loads(line)["name"] for line in LINES.read_text().splitlines()} if LINES.exists() else set()
    for i, (name, kind, model, inputs, settings) in enumerate(subjects(options.set)):
        if i % parts == part and name not in done:
            row = {"name": name, **measured(kind, model, inputs, settings)}
            with LINES.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, row["findings"], row.get("first"), row.get("before"), row.get("after"), flush=True)


if __name__ == "__main__":
    main()
