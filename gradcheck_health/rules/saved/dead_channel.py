"""Channels behind a batch normalisation that no ReLU would let through."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace


def dead_channel(trace: Trace, *, max_share: float = 0.8) -> Iterator[Finding]:
    """Most channels of a batch normalisation lie below zero for every input: a ReLU behind it is dead.

    What it does: reads scale, shift and running variance of every batch normalisation in the file.

    Why it is bad: behind a ReLU such a channel is zero for every sample, gets no gradient and stays so.

    How it is measured: what the normalisation returns has the mean of its shift and at most the spread of its scale. A channel
    counts as dead where six spreads above the shift are still not above zero; more than max_share of a layer's channels are
    reported. A layer whose scales and shifts are all zero starts a branch at zero, and does not count.

    When it is legitimate: no ReLU follows, or the channels were pruned.

    How to fix: a smaller learning rate, less weight decay on the scales, leaky ReLU.

    How to silence: ignore={"dead-channel:name": "no ReLU follows"}, or a larger max_share.
    """
    bad = [one for one in trace.saved.norms if one.dead > max_share * one.channels] if trace.saved is not None else []
    if bad:
        worst = max(bad, key=lambda one: one.dead / one.channels)
        share = worst.dead / worst.channels
        yield Finding(
            rule="dead-channel",
            severity=Severity.WARNING,
            message=f"{share:.0%} of the channels of {worst.name} are never above zero (at most {max_share:.0%} allowed)",
            places=tuple(Place(one.name, "batch norm", note=f"{one.dead} of {one.channels}") for one in bad),
            details=(
                (
                    "because",
                    "the shift lies more than six times the scale below zero: a ReLU behind it returns zeros",
                ),
                ("help", "a smaller learning rate, less weight decay on the scales, leaky ReLU"),
            ),
            got=share,
            bound=max_share,
        )
