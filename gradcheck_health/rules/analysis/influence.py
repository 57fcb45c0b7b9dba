"""What one part of a batch does to the output of another part: the finding that mixed-samples and future-leak share."""

from __future__ import annotations

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.influence import Influence

JUMP = 0.03
"""A small change moves the output by less than this share of what a large one does, in proportion: it is no smooth function."""


def jumps(influence: Influence) -> bool:
    """Routing, sorting or a capacity: a small change of the others does not move the output."""
    return influence.smooth < JUMP * influence.share


def influence_finding(
    rule: str,
    severity: Severity,
    influence: Influence,
    allowed: float,
    *,
    compared: str,
    because: str,
    details: tuple[tuple[str, str], ...],
) -> Finding:
    """The finding of a rule on one influence.

    Args:
        compared: how far the output moved, against what: "as far with the other samples as with itself".
        details: what follows the cause and its confirmation.
    """
    output = f" {influence.output}" if influence.output else ""
    moves = f"the output{output} of {influence.kept} moves {influence.share:.2g} x {compared}"
    return Finding(
        rule=rule,
        severity=severity,
        message=f"{moves} (at most {allowed:.2g} allowed)",
        places=(Place(influence.layer, influence.kind, influence.source, influence.op),),
        details=(
            ("because", because),
            ("confirmed", f"in eval mode; {influence.smooth:.2g} x under a small perturbation"),
            *details,
        ),
        got=influence.share,
        bound=allowed,
    )
