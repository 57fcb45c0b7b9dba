"""What the ranks of a check say to one another: which facts they need, and what each of them found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.records.codec import decode, encode
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.wording import listed


def shared_needs(needs: Sequence[str]) -> list[str]:
    """The facts that any rank needs, in one order: to take one is an operation of all of them."""
    if (ranks := current()) is None:
        return list(needs)
    return list(dict.fromkeys(fact for told in ranks.exchange("the facts to measure", list(needs)) for fact in told))


def on_any_rank(said: bool) -> bool:
    """Whether it holds on one of them at least."""
    ranks = current()
    return said if ranks is None else any(any(told) for told in ranks.exchange("what it costs", [said]))


def shared_findings(findings: Sequence[Finding]) -> list[Finding]:
    """What any rank found, each once, and the same on all of them; what only some found says which."""
    if (ranks := current()) is None:
        return list(findings)
    told = [
        [decode(Finding, one, "finding") for one in encoded]
        for encoded in ranks.exchange("the verdict", [encode(one) for one in findings])
    ]
    known: dict[tuple[str, tuple[str, ...]], Finding] = {}
    by: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for rank, found in enumerate(told):
        for one in found:
            known.setdefault((one.rule, one.names), one)
            by.setdefault((one.rule, one.names), []).append(rank)
    return [one if len(by[key]) == ranks.size else _only(one, by[key], ranks.size) for key, one in known.items()]


def _only(finding: Finding, found_by: Sequence[int], size: int) -> Finding:
    where = f"rank {listed([str(rank) for rank in found_by])} of {size}"
    return dataclasses.replace(finding, details=(*finding.details, ("only on", where)))
