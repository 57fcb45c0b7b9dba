"""Sound models of timm, torchvision and transformers: what a whole call costs, and which fact takes how much of it.

The rule: every third-party model of the zoo, on the zoo's own batch; the summary is over those whose bare step takes 20 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

from benchmarks.speed.clock import median_ms, ratio, seconds, turns
from gradcheck_health import check_gradients
from gradcheck_health.check import diagnose
from gradcheck_health.model.call import call
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe.objective import objective
from gradcheck_health.records.inputs import Inputs
from tests.zoo.entry import Sound
from tests.zoo.third_party import TIMM, TORCHVISION, TRANSFORMERS

Row = dict[str, Any]


def third_party(turns_each: int) -> list[Row]:
    """A row a model; facts in multiples of its bare step."""
    rows = []
    for entry in (*TIMM, *TORCHVISION, *TRANSFORMERS):
        rows.append(measured(entry, max(turns_each // 3, 1)))
        print(line(rows[-1]), flush=True)
    return rows


def measured(entry: Sound, turns_each: int) -> Row:
    model, given = entry.build()

    def whole() -> None:
        check_gradients(model, given, seed=0, **entry.settings)

    with sandbox(model):
        timed = turns({"bare": lambda: bare(model, given), "whole": whole}, turns_each, warm=1)
        with facts_timed() as spent:
            whole()
    step = median_ms(timed, "bare")
    facts = {name: round(1e3 * taken / step, 2) for name, taken in sorted(spent.items(), key=lambda pair: -pair[1])}
    return {"model": entry.name, "bare_ms": step, "whole": ratio(timed, "whole"), "facts": facts}


def bare(model: torch.nn.Module, given: Any) -> None:
    """Forward and backward on the same batch and objective: afterwards the parameters hold their gradients."""
    for parameter in model.parameters():
        parameter.grad = None
    fed = Inputs((), given) if isinstance(given, dict) else Inputs(given if isinstance(given, tuple) else (given,))
    goal = objective(call(model, fed, 0), loss=None, batch=None, seed=0)
    torch.autograd.backward(goal.roots, goal.gradients)


@contextmanager
def facts_timed() -> Iterator[dict[str, float]]:
    """CPU seconds of every fact that a check takes."""
    spent: dict[str, float] = {}
    take = diagnose.take

    def timed(fact: str, *args: Any) -> Any:
        found: list[Any] = []
        spent[fact] = spent.get(fact, 0.0) + seconds(lambda: found.append(take(fact, *args)))
        return found[0]

    with mock.patch.object(diagnose, "take", timed):
        yield spent


def by_fact(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Per fact: how many models it is taken of, and its mean and its largest cost there."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for name, cost in row["facts"].items():
            found.setdefault(name, []).append(cost)
    return {
        name: {"models": len(costs), "mean": sum(costs) / len(costs), "largest": max(costs)}
        for name, costs in sorted(found.items(), key=lambda pair: -sum(pair[1]))
    }


def line(row: Row) -> str:
    facts = ", ".join(f"{name} {cost:.1f}" for name, cost in list(row["facts"].items())[:6])
    return f"{row['model']:45} {row['bare_ms']:8.1f} ms  x {row['whole']:5.2f}   {facts}"
