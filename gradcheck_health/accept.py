"""What a person accepts: findings under `ignore`, each with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from gradcheck_health.report import Finding, Place


def accept(findings: Sequence[Finding], ignore: Mapping[str, str], ran: Sequence[str]) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings, accepted ones with their reason, and the entries of rules that ran which matched nothing.

    Args:
        ignore: "rule" or "rule:name-pattern" -> reason. A finding at several places is accepted if every place is;
            otherwise the accepted places are taken out of it.
        ran: names of the rules that ran: an entry for another rule had no chance to match.
    """
    used: set[str] = set()
    result = [_accept(finding, ignore, used) for finding in findings]
    unmatched = (entry for entry in ignore if entry not in used and entry.partition(":")[0] in ran)
    return result, tuple(unmatched)


def _accept(finding: Finding, ignore: Mapping[str, str], used: set[str]) -> Finding:
    entries = [entry for entry in ignore if entry.partition(":")[0] == finding.rule]
    for entry in entries:
        if not entry.partition(":")[2]:
            used.add(entry)
            return dataclasses.replace(finding, suppressed=ignore[entry])
    kept: list[Place] = []
    reasons: dict[str, None] = {}
    for place in finding.places:
        matching = [entry for entry in entries if fnmatchcase(place.name, entry.partition(":")[2])]
        if matching:
            used.add(matching[0])
            reasons[ignore[matching[0]]] = None
        else:
            kept.append(place)
    if not reasons:
        return finding
    if not kept:
        return dataclasses.replace(finding, suppressed="; ".join(reasons))
    gone = len(finding.places) - len(kept)
    note = ("accepted", f"{gone} of {len(finding.places)} places: {'; '.join(reasons)}")
    return dataclasses.replace(finding, places=tuple(kept), details=(*finding.details, note))
