"""Steps that replace the weights instead of changing them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Severity
from gradcheck_health.records.history import WEIGHTS, Track
from gradcheck_health.records.step import StepTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time, steps

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

SUSPICIOUS = 0.1
"""A first step with a weight that moves by more than this share of itself is worth nine more."""
FALLEN = 0.5
"""A loss that has come down to this share is learnt, however large the steps were."""

_THROWN = 10.0
"""|dw| / |w| of a first step that leaves nothing of the initial weights."""
_SINCE, _WORSE, _STANDS = 20, 2.0, 0.9
"""So many steps later every loss is above this multiple of the first, and none of it has been made good."""


def huge_update(trace: Trace, *, max_ratio: float = 0.5, max_growth: float = 10.0) -> Iterator[Finding | Need]:
    """The first steps change the weights by half of their size, or make the loss of the same batch ten times as large.

    What it does: takes ten steps of the declared optimizer on one batch. Fires where the median over weights and steps of
    |dw| / |w| is above max_ratio and the loss has not come down by half, and where the loss at the last three of them is
    above max_growth times the first, or not finite (an error).

    Why it is bad: what the initialisation prepared is gone after a step, units die, and the loss diverges. Unscaled targets, a
    sum where a mean was wanted, raw inputs of 0 to 255 and a learning rate that is too large show here: no rule on the
    gradient alone may call them sick.

    How it is measured: with the loss that was given or that the model returns, on the same batch, undone afterwards. A
    single step below 0.1 for every weight ends the matter. Matrices and kernels count; gains and biases, zeros, and groups
    that a scheduler is warming up do not. In a watched loop the median over the last ten measured steps counts, and a first
    step of ten times the weights, behind which the loss stands above twice its first value for twenty steps.

    When it is legitimate: second-order optimizers take long steps and are right to; their loss comes down.

    How to fix: a smaller learning rate, normalised inputs and targets, a mean over the samples, clipped gradients, a warm-up.

    How to silence: ignore={"huge-update": "the reason"}, or a larger max_ratio.
    """
    if trace.history is not None and trace.objective == "random projection":
        return
    if trace.history is not None:
        yield from _in_a_loop(trace, max_ratio)
        return
    step = steps.first_step(trace)
    if step is None or not steps.has_loss(trace):
        return
    if any(row.nonfinite_weight for row in step.parameters):
        return  # nonfinite-update
    if max(steps.ratios(step).values(), default=0.0) <= min(SUSPICIOUS, max_ratio):
        return
    if steps.FACT not in trace.facts:
        yield Need(steps.FACT)
        return
    taken = steps.series(trace)
    losses = [one.loss for one in taken if one.loss is not None]
    if len(losses) < 4:
        return
    if not all(map(math.isfinite, losses)) or all(later > max_growth * abs(losses[0]) > 0 for later in losses[-3:]):
        yield _grown(trace, step, losses, max_growth)
        return
    typical = steps.typical(taken)
    middle = median(typical.values()) if typical else 0.0
    if middle > max_ratio and not losses[-1] < FALLEN * losses[0]:
        yield _moved(trace, step, typical, middle, max_ratio)


def _severity(step: StepTrace, severity: Severity) -> Severity:
    """Twenty evaluations of the loss in a step, without a line search, may go anywhere: LBFGS is not judged by single steps."""
    return Severity.NOTE if all(group.closure for group in step.groups) else severity


def _grown(trace: Trace, step: StepTrace, losses: Sequence[float], bound: float) -> Finding:
    last = next((value for value in losses if not math.isfinite(value)), losses[-1])
    finite = math.isfinite(last)
    worst = sorted(steps.ratios(step).items(), key=lambda item: -item[1])
    rows = {row.name: row for row in step.parameters}
    return Finding(
        rule="huge-update",
        severity=_severity(step, Severity.WARNING if finite else Severity.ERROR),
        message=f"the loss of one batch goes from {losses[0]:.3g} to {last:.3g} in {len(losses) - 1} steps of "
        f"{steps.optimizers(step)} (at most {bound:.3g} x allowed)",
        places=steps.places(trace, [rows[name] for name, _ in worst]),
        details=(
            (
                "because",
                f"the first step changes {worst[0][0]} by {worst[0][1]:.2g} of its size at lr {step.lr(rows[worst[0][0]]):.3g}",
            ),
            ("help", "a smaller learning rate; normalise inputs and targets; take the mean over the samples"),
        ),
        got=last / losses[0] if losses[0] and finite else last,
        bound=bound,
    )


def _moved(trace: Trace, step: StepTrace, typical: dict[str, float], middle: float, bound: float) -> Finding:
    rows = {row.name: row for row in step.parameters}
    worst = sorted(typical, key=lambda name: -typical[name])
    return Finding(
        rule="huge-update",
        severity=_severity(step, Severity.WARNING),
        message=f"a step of {steps.optimizers(step)} changes the weights by {middle:.2g} of their size "
        f"(at most {bound:.2g} allowed)",
        places=steps.places(trace, [rows[name] for name in worst if name in rows]),
        details=(
            ("because", f"at lr {step.lr(rows[worst[0]]):.3g} {worst[0]} moves by {typical[worst[0]]:.2g} of its size a step"),
            ("help", "a smaller learning rate; normalise inputs and targets; take the mean over the samples"),
        ),
        got=middle,
        bound=bound,
    )


def _in_a_loop(trace: Trace, max_ratio: float) -> Iterator[Finding]:
    for track in over_time.tracks(trace):
        moments = over_time.window(track)
        if not moments or moments[-1].median is None or moments[-1].median <= max_ratio:
            continue
        rows: list[tuple[float, int]] = []
        for one in moments:
            weights = enumerate(zip(one.ratios, track.parameters, strict=False))
            rows += [(r, i) for i, (r, row) in weights if r is not None and row.role in WEIGHTS and math.isfinite(r)]
        middle = median(ratio for ratio, _ in rows) if rows else 0.0
        if middle > max_ratio:
            yield _large(track, rows, middle, max_ratio)
    for track in over_time.by_loss(trace):
        yield from _thrown_away(track)


def _thrown_away(track: Track) -> Iterator[Finding]:
    """One step left nothing of the initial weights, and the loss has stood above where it began ever since."""
    first = next((one for one in track.moments[:1] if one.step == 1 and (one.median or 0.0) > _THROWN), None)
    if first is None or len(track.losses) <= _SINCE or track.closure or over_time.signed(track):
        return
    losses = [loss for _, loss in track.losses]
    early, late = median(losses[1 : _SINCE // 2]), median(losses[-_SINCE // 2 :])
    if min(losses[1:]) > _WORSE * losses[0] > 0 and late > _STANDS * early:
        places = [i for i, ratio in enumerate(first.ratios) if ratio is not None and track.parameters[i].role in WEIGHTS]
        yield Finding(
            rule="huge-update",
            severity=Severity.WARNING,
            message=f"the first step of {track.optimizer} changes the weights by {first.median:.3g} of their size, and the "
            f"loss stands at {late:.3g} since, from {losses[0]:.3g} (at most {_WORSE:g} x allowed)",
            places=over_time.places(track, places),
            details=(
                ("because", f"at lr {first.lr[0]:.3g} nothing is left of the initial weights, and what came has no slope"),
                ("help", "a smaller learning rate or a warm-up; normalise inputs and targets; a loss on logits"),
            ),
            got=late / losses[0],
            bound=_WORSE,
        )


def _large(track: Track, rows: Sequence[tuple[float, int]], middle: float, bound: float) -> Finding:
    worst = list(dict.fromkeys(place for _, place in sorted(rows, reverse=True)))
    lr = track.moments[-1].lr[track.parameters[worst[0]].group]
    return Finding(
        rule="huge-update",
        severity=Severity.NOTE if track.closure else Severity.WARNING,
        message=f"a step of {track.optimizer} changes the weights by {middle:.2g} of their size (at most {bound:.2g} allowed)",
        places=over_time.places(track, worst),
        details=(
            ("because", f"at lr {lr:.3g} {track.parameters[worst[0]].name} moves by {max(rows)[0]:.2g} of its size in a step"),
            ("help", "a smaller learning rate; normalise inputs and targets; take the mean over the samples"),
        ),
        got=middle,
        bound=bound,
    )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Training(model, loss=nn.MSELoss(), optimizer=optimizer)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    prices = 2e5 + 5e4 * torch.randn(64, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(64, 8)
    return Training(model, x, nn.MSELoss(), prices, optimizer=optimizer)
