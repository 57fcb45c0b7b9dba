"""Multiples of a bare forward + backward, on sound and on sick models."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.speed.clock import added_ms, median_ms, ratio, turns
from benchmarks.speed.memory import extra_over_snapshot
from benchmarks.speed.sick import SICK
from benchmarks.speed.sound import SOUND, TINY
from gradcheck_health import check_gradients
from gradcheck_health.model.call import call
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe
from gradcheck_health.probe.criterion import bind
from gradcheck_health.probe.objective import objective
from gradcheck_health.records.inputs import Inputs

Row = dict[str, Any]


def subject_of(model: nn.Module, x: torch.Tensor, loss: Any = None) -> Subject:
    return Subject(model, Inputs((x,), batch=len(x)), bind(loss, None, 0))


def step(subject: Subject) -> None:
    """The bare step: afterwards the parameters hold their gradients."""
    for parameter in subject.model.parameters():
        parameter.grad = None
    output = call(subject.model, subject.inputs, subject.seed)
    goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
    torch.autograd.backward(goal.roots, goal.gradients)


def sound(turns_each: int) -> list[Row]:
    """Probe and whole call, inputs given; what a whole call adds to a small step; memory beyond that of the step."""
    rows = []
    for name, build in {**TINY, **SOUND}.items():
        torch.manual_seed(0)
        model, x = build()
        subject = subject_of(model, x)

        def whole(model: nn.Module = model, x: torch.Tensor = x) -> None:
            assert check_gradients(model, x).ok

        def looked(subject: Subject = subject) -> None:
            probe(subject)

        with sandbox(model):
            timed = turns(
                {"bare": lambda subject=subject: step(subject), "probe": looked, "whole": whole},
                turns_each * (8 if name in TINY else 1),
            )
        rows.append(
            {
                "model": name,
                "parameters": sum(p.numel() for p in model.parameters()),
                "bare_ms": median_ms(timed, "bare"),
                "probe": ratio(timed, "probe"),
                "whole": ratio(timed, "whole"),
                "adds_ms": added_ms(timed, "whole"),
                "memory": extra_over_snapshot(model, lambda subject=subject: step(subject), whole),
            }
        )
        print(_line(rows[-1]), flush=True)
    return rows


def sick(turns_each: int) -> list[Row]:
    """Whole calls that end with the verdict that the model deserves."""
    rows = []
    for name, (rule, build) in SICK.items():
        torch.manual_seed(0)
        model, x, settings = build()
        subject = subject_of(model, x, settings.get("loss"))
        report = check_gradients(model, x, **settings)
        found = [finding.rule for finding in report.findings if finding.severity != "note"]
        if rule not in found:
            raise SystemExit(f"{name}: expected {rule}, found {found}")

        def whole(model: nn.Module = model, x: torch.Tensor = x, settings: dict[str, Any] = settings) -> None:
            check_gradients(model, x, **settings)

        with sandbox(model):
            timed = turns({"bare": lambda subject=subject: step(subject), "whole": whole}, turns_each, warm=0)
        looks = 1 + sum(len(taken) for taken in report.trace.facts.values())
        rows.append(
            {"model": name, "rule": rule, "bare_ms": median_ms(timed, "bare"), "whole": ratio(timed, "whole"), "looks": looks}
        )
        print(_line(rows[-1]), flush=True)
    return rows


def summary(rows: list[Row], keys: tuple[str, ...], combine: Callable[[list[float]], float]) -> Row:
    """Over the models whose step takes at least 20 ms."""
    large = [row for row in rows if row["bare_ms"] >= 20]
    return {key: combine([row[key] for row in large]) for key in keys} | {"models": len(large)}


def geometric(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def _line(row: Row) -> str:
    return "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{value}" for key, value in row.items())
