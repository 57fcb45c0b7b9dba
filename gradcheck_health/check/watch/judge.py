"""The rules of training, asked about a history: what is found, and what of it is a mere consequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradcheck_health import rules as rule_files
from gradcheck_health.check.root_causes import HIDES
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import History, Noticed
from gradcheck_health.records.trace import Trace

RULES = (
    "nonfinite-update",
    "nonfinite-gradient",
    "discarded-gradient",
    "uncleared-gradient",
    "unoptimized-parameter",
    "no-gradient-at-step",
    "missing-gradient",
    "undone-update",
    "diverging-loss",
    "dead-unit",
    "ineffective-step",
    "zero-learning-rate",
    "optimizer-setting",
    "eval-mode",
    "huge-update",
    "tiny-update",
    "unbounded-loss",
    "vanished-gradient",
    "shrinking-weight",
    "stagnant-loss",
)
"""What a watched loop is judged by, causes first."""


def chosen(select: Sequence[str] | None) -> dict[str, Callable[..., Any]]:
    """The rules of training that are to run."""
    return {name: rule_files.named(name) for name in RULES if select is None or name in select}


def noticed(
    rules: Mapping[str, Callable[..., Any]], options: Mapping[str, Mapping[str, Any]], trace: Trace, history: History, step: int
) -> list[Noticed]:
    """What these rules find now."""
    seen = dataclasses.replace(trace, history=history)
    found = []
    for name, rule in rules.items():
        found += [Noticed(step, one) for one in rule(seen, **options.get(name, {})) if isinstance(one, Finding)]
    return found


def causes(found: Sequence[Noticed]) -> tuple[Noticed, ...]:
    """Without what a cause explains that was there before it, or came with it.

    An error explains what it hides; a warning what says itself that it is an effect of it.
    """
    known = [one for one in found if one.finding.severity is not Severity.NOTE and one.finding.suppressed is None]

    def explained(one: Noticed) -> bool:
        return any(_hides(cause, one) for cause in known if cause is not one and cause.step <= one.step)

    return tuple(one for one in found if not explained(one))


def _hides(cause: Noticed, effect: Noticed) -> bool:
    if cause.finding.rule == effect.finding.rule:
        return False
    if cause.finding.rule in effect.finding.effect_of:
        return True
    hidden = HIDES.get(cause.finding.rule, ()) if cause.finding.severity is Severity.ERROR else ()
    return hidden is None or effect.finding.rule in hidden
