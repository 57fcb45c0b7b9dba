"""What the ranks of a check say to one another: which facts they need, and what each of them found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import nn

from gradcheck_health.model.distributed.pipeline import stage_of
from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.records.codec import decode, encode
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.wording import listed


def shared_needs(needs: Sequence[str]) -> list[str]:
    """The facts that any rank needs, in one order: to take one is an operation of all of them."""
    if (ranks := current()) is None:
        return list(needs)
    return list(dict.fromkeys(fact for told in ranks.exchange("the facts to measure", list(needs)) for fact in told))


def shared_findings(findings: Sequence[Finding], model: nn.Module) -> list[Finding]:
    """What any rank found, each once, and the same on all of them; what only some found, or hold, says which."""
    if (ranks := current()) is None:
        return list(findings)
    stages = stage_of(model)
    said = [[encode(one), stages is not None and _lies_here(one, stages)] for one in findings]
    known: dict[tuple[str, tuple[str, ...]], Finding] = {}
    by: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    at: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for rank, told in enumerate(ranks.exchange("the verdict", said)):
        for encoded, here in told:
            one = decode(Finding, encoded, "finding")
            key = (one.rule, one.names)
            known.setdefault(key, one)
            by.setdefault(key, []).append(rank)
            at.setdefault(key, []).extend([rank] if here else [])
    found = {key: _on(one, "only on", by[key], ranks.size) for key, one in known.items()}
    if stages is None:
        return list(found.values())
    return [_on(one, "lies on", at[key] or by[key], ranks.size) for key, one in found.items()]


def _lies_here(finding: Finding, stages: Mapping[str, int]) -> bool:
    """One of the modules or parameters that it names is in a stage of this rank."""
    return any(name and (name in stages or name.rpartition(".")[0] in stages) for name in finding.names)


def _on(finding: Finding, what: str, few: Sequence[int], size: int) -> Finding:
    where = f"rank {listed([str(rank) for rank in few])} of {size}"
    return finding if len(few) == size else dataclasses.replace(finding, details=(*finding.details, (what, where)))
