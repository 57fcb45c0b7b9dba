"""What the user accepts under `ignore`, each with its reason, and what has to be there under `expect`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gradcheck_health.records.finding import Finding, Place, Severity


def accept(
    findings: Sequence[Finding], ignore: Mapping[str, str], ran: Sequence[str], expect: Mapping[str, str] | None = None
) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings, accepted ones with their reason, and the entries of rules that ran which matched nothing.

    Args:
        ignore: "rule" or "rule:name-pattern" -> reason. A finding at several places is accepted if every place is;
            otherwise the accepted places are taken out of it.
        ran: names of the rules that ran: an entry for another rule had no chance to match.
        expect: the same for findings that have to be there; one that is not becomes a finding, an error of its rule.
    """
    used: set[str] = set()
    expect = expect or {}
    reasons = {**ignore, **expect}
    entries = _by_rule(reasons)
    result = [_accept(finding, entries.get(finding.rule, _NONE), reasons, used) for finding in findings]
    result += [_absent(entry, reason) for entry, reason in expect.items() if entry not in used and _rule(entry) in ran]
    unmatched = (entry for entry in ignore if entry not in used and _rule(entry) in ran)
    return result, tuple(unmatched)


@dataclass(slots=True)
class _Entries:
    """The entries of one rule. Names without a wildcard are looked up, because a large model may have one for each layer."""

    whole: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str | None:
        """The entry that accepts the place of this name: one that names it comes before a pattern."""
        found = self.names.get(name)
        return found or next((entry for pattern, entry in self.patterns.items() if fnmatchcase(name, pattern)), None)


_NONE = _Entries()


def _by_rule(reasons: Mapping[str, str]) -> dict[str, _Entries]:
    found: dict[str, _Entries] = {}
    for entry in reasons:
        rule, _, pattern = entry.partition(":")
        entries = found.setdefault(rule, _Entries())
        if not pattern:
            entries.whole = entries.whole or entry
        else:
            (entries.patterns if set("*?[") & set(pattern) else entries.names)[pattern] = entry
    return found


def _rule(entry: str) -> str:
    return entry.partition(":")[0]


def _absent(entry: str, reason: str) -> Finding:
    rule, _, pattern = entry.partition(":")
    where = f" at {pattern}" if pattern else ""
    return Finding(
        rule=rule,
        severity=Severity.ERROR,
        message=f"expected{where}, and not found",
        places=(Place(pattern),),
        details=(
            ("expected", f"because of: {reason}"),
            ("help", f"if it is fixed, remove {entry!r} from expect; otherwise find out why the rule no longer finds it"),
        ),
    )


def _accept(finding: Finding, entries: _Entries, reasons: Mapping[str, str], used: set[str]) -> Finding:
    if entries.whole is not None:
        used.add(entries.whole)
        return dataclasses.replace(finding, suppressed=reasons[entries.whole])
    found = {place.name: entry for place in finding.places if (entry := entries.of(place.name)) is not None}
    used.update(found.values())
    return part(finding, {name: reasons[entry] for name, entry in found.items()})


def part(finding: Finding, reasons: Mapping[str, str]) -> Finding:
    """The finding without the places that were accepted; accepted as a whole where no place is left.

    Args:
        reasons: the name of a place -> why it was accepted.
    """
    kept = tuple(place for place in finding.places if place.name not in reasons)
    if not reasons:
        return finding
    why = "; ".join(dict.fromkeys(reasons.values()))
    if not kept:
        return dataclasses.replace(finding, suppressed=why)
    note = ("accepted", f"{len(finding.places) - len(kept)} of {len(finding.places)} places: {why}")
    return dataclasses.replace(finding, places=kept, details=(*finding.details, note))
