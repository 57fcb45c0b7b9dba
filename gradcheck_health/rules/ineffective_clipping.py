"""Thresholds of clipping that cut everything, or nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def ineffective_clipping(trace: Trace, *, max_factor: float = 1e3) -> Iterator[Finding]:
    """The threshold of clipping is a thousand times away from the gradients that arrive.

    What it does: compares the bound of clip_grad_norm_ or clip_grad_value_ with the norm, or the largest entry, of the
    gradients that it finds, in each step of a given training step. A note where it is more than max_factor times above or
    below in all of them.

    Why it is bad: far above, it never cuts; far below, it cuts every step down to one length: a learning rate in disguise.

    How it is measured: over the first three steps. A bound of infinity, which only measures the norm, is not judged.

    When it is legitimate: as a guard against rare spikes the bound may lie far above.

    How to fix: a threshold of the size of the norms that are usual after the first steps.

    How to silence: ignore={"ineffective-clipping": "the reason"}, or a larger max_factor.
    """
    clips = [event for step in steps.given(trace) for event in steps.events(step) if event.kind == "clip"]
    known = [c for c in clips if c.norm and c.limit and math.isfinite(c.norm) and math.isfinite(c.limit)]
    if not known or len(known) < len(clips):
        return
    factors = [(clip.limit or 0.0) / (clip.norm or 1.0) for clip in known]
    if all(factor > max_factor for factor in factors) or all(factor < 1 / max_factor for factor in factors):
        clip, factor = known[-1], factors[-1]
        above = factor > 1
        what = "norm" if clip.by == "norm" else "largest entry"
        yield Finding(
            rule="ineffective-clipping",
            severity=Severity.NOTE,
            message=f"gradients are clipped at {clip.limit:.3g}, and their {what} is {clip.norm:.3g} "
            f"(within {max_factor:.3g} x wanted)",
            places=(Place("", "", clip.source, f"clip by {clip.by}"),),
            details=(
                ("because", "it never cuts" if above else "it cuts every step to the same length"),
                (
                    "help",
                    f"a threshold near {clip.norm:.1g}"
                    if above
                    else f"a threshold near {clip.norm:.1g}, or a smaller learning rate",
                ),
            ),
            got=factor,
            bound=max_factor,
        )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(16, 8)

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return Training(model, x, optimizer=optimizer, step=step)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(16, 8)

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e6)
        optimizer.step()

    return Training(model, x, optimizer=optimizer, step=step)
