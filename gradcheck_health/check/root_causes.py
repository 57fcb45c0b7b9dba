"""Root causes: which rules are asked first, and which findings are mere consequences of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gradcheck_health.records.errors import UsageError, describe_error, did_you_mean
from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import a_kind

Rules = Mapping[str, Callable[..., Any]]
Options = Mapping[str, Mapping[str, Any]]

HIDES: dict[str, tuple[str, ...] | None] = {
    "failed-backward": None,
    "nonfinite-gradient": None,
    "half-precision-overflow": None,
    "unregistered-parameter": ("cut-gradient", "missing-gradient"),
    "dead-unit": ("vanishing-gradient", "exploding-gradient"),
    "constant-output": ("zero-gradient", "vanishing-gradient"),
    "vanishing-through-time": ("vanishing-gradient",),
    "exploding-through-time": ("exploding-gradient",),
    "unlucky-initialisation": (
        "dead-unit",
        "zero-gradient",
        "missing-gradient",
        "constant-output",
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-activation",
        "high-initial-loss",
        "unbalanced-gradient",
        "tiny-update",
        "huge-update",
    ),
    "broadcast-loss": ("mixed-samples", "high-initial-loss"),
    "misread-loss": ("high-initial-loss", "zero-gradient"),
    "ineffective-step": ("tiny-update",),
    "nonfinite-update": ("huge-update", "nonfinite-gradient", "diverging-loss"),
    "uncleared-gradient": ("huge-update", "diverging-loss", "stagnant-loss"),
    "unoptimized-parameter": ("stagnant-loss", "tiny-update"),
    "discarded-gradient": ("ineffective-step", "stagnant-loss"),
    "undone-update": ("stagnant-loss", "tiny-update"),
    "no-gradient-at-step": (
        "dead-unit",
        "ineffective-step",
        "missing-gradient",
        "stagnant-loss",
        "shrinking-weight",
        "tiny-update",
    ),
    "vanishing-gradient": ("stagnant-loss", "vanished-gradient", "tiny-update"),
    "half-precision-underflow": ("zero-gradient", "vanishing-gradient", "constant-output"),
}
"""An error of this rule is the cause of whatever those rules see (None: of everything).

Where it is the cause of some of their findings only, these say so themselves: `Finding.effect_of`.
"""
_EXPLAINS = ("misread-loss",)
"""Rules whose error may explain one that hides everything (`Finding.effect_of`): they are asked with those."""
_REGRESSED = "regressed-gradient"
"""An error of any other rule says more about the same change: what a baseline alone shows is left to `report.change` then."""


def ask(
    chosen: Rules, options: Options, trace: Trace, accepted: Callable[[list[Finding]], list[Finding]]
) -> tuple[list[Finding], list[str], tuple[str, ...]]:
    """The rules' findings, the facts that some rule still needs, and the names of the rules that were asked.

    Those that hide everything else come first: where they have found a cause, looking for its consequences is waste.

    Args:
        options: rule -> its options.
        accepted: marks the findings that the user accepted; an accepted cause hides nothing.

    Raises:
        UsageError: a rule raised, or answered something else than a Finding or a known Need.
    """
    first = {name: rule for name, rule in chosen.items() if HIDES.get(name, ()) is None or name in _EXPLAINS}
    findings, needs = answers(first, options, trace)
    if needs or any(_is_cause(finding) and HIDES.get(finding.rule, ()) is None for finding in accepted(findings)):
        return findings, needs, tuple(first)
    others, needs = answers({name: rule for name, rule in chosen.items() if name not in first}, options, trace)
    return findings + others, needs, tuple(chosen)


def root_causes(findings: list[Finding]) -> list[Finding]:
    """Without the consequences of a cause that is among them and that nobody accepted."""
    causes = {finding.rule for finding in findings if _is_cause(finding)}
    everything = {cause for cause in causes if HIDES.get(cause, ()) is None}
    if everything:
        explained = {cause for finding in findings if finding.rule in everything for cause in finding.effect_of} & causes
        return [finding for finding in findings if finding.rule in (explained or everything)]
    hidden = {effect for cause in causes for effect in HIDES.get(cause, ()) or ()}
    if causes - {_REGRESSED}:
        hidden.add(_REGRESSED)
    return [finding for finding in findings if finding.rule not in hidden and not causes.intersection(finding.effect_of)]


def _is_cause(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR and finding.suppressed is None


def answers(rules: Rules, options: Options, trace: Trace) -> tuple[list[Finding], list[str]]:
    """What some rules say to a trace, and the facts that they need."""
    from gradcheck_health.probe import fact_names

    findings: list[Finding] = []
    needs: dict[str, None] = {}
    for name, rule in rules.items():
        try:
            answers = list(rule(trace, **options.get(name, {})))
        except Exception as error:
            raise UsageError(f"the rule {name} raised {describe_error(error)}: fix it, or leave it out with select=") from error
        for answer in answers:
            if isinstance(answer, Need):
                if answer.fact not in fact_names():
                    raise UsageError(f"the rule {name} needs the fact {answer.fact!r}{did_you_mean(answer.fact, fact_names())}")
                if answer.more or answer.fact not in trace.facts:
                    needs[answer.fact] = None
            elif isinstance(answer, Finding):
                findings.append(answer)
            else:
                raise UsageError(f"the rule {name} yielded {a_kind(answer)}; allowed: Finding or Need")
    return findings, list(needs)
