"""What the passes beyond the first may cost together, and how a suspicion is reported that they did not suffice for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gradcheck_health.check.root_causes import answers
from gradcheck_health.model.call import calls_counted
from gradcheck_health.model.nest import leaves
from gradcheck_health.probe import described
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import listed

_AT_MOST = {"more_steps": 10.0}
"""Passes that a fact is charged. A step is one: the optimizer decides how often it calls the model (LBFGS 20 times)."""
_LEAST = 0.25
"""Of a pass of the whole batch: calling the operations takes its time however few samples there are."""
_SAMPLES = 8
"""A smaller batch takes more passes to show as much: of two samples a fact that wants 256 of them takes 128."""


class Budget:
    """Counted in forward passes, never in seconds: the verdict must not depend on what else the machine does."""

    def __init__(self, allowed: float, whole: Inputs) -> None:
        """Args: whole: the batch that one pass is measured by; `_SAMPLES` of its kind where it has fewer."""
        self.allowed, self.passes = allowed, 0.0
        self._whole = max(_size(whole) * max(1.0, _SAMPLES / (whole.batch or _SAMPLES)), 1)

    @property
    def spent(self) -> bool:
        return self.passes >= self.allowed

    @contextlib.contextmanager
    def paying(self, fact: str) -> Iterator[None]:
        """Count the calls of the model inside the block, which takes a fact."""
        with calls_counted() as fed:
            yield
        taken = sum(max(_size(one) / self._whole, _LEAST) for one in fed)
        self.passes += min(taken, _AT_MOST.get(fact, taken))


def _size(inputs: Inputs) -> int:
    return sum(leaf.tensor.numel() for leaf in leaves((inputs.args, dict(inputs.kwargs))))


def unconfirmed(
    rules: Mapping[str, Callable[..., Any]], options: Mapping[str, Mapping[str, Any]], trace: Trace, budget: Budget
) -> list[Finding]:
    """What every rule says to what was measured, and a warning for each that would have asked for more."""
    findings = []
    for name, rule in rules.items():
        found, needs = answers({name: rule}, options, trace)
        findings += found
        if needs:
            findings.append(_not_confirmed(name, needs, trace, budget))
    return findings


def _not_confirmed(rule: str, needs: list[str], trace: Trace, budget: Budget) -> Finding:
    return Finding(
        rule=rule,
        severity=Severity.WARNING,
        message=f"not confirmed (cost): {listed([f'{described(fact)} ({fact})' for fact in needs])} was not measured",
        places=(Place("", trace.model),),
        details=(
            ("because", f"the passes so far took {budget.passes:.0f} forward passes (fact_budget={budget.allowed})"),
            ("help", f"fact_budget={4 * max(int(budget.passes), 1)} or more decides it, or select= other rules"),
        ),
    )
