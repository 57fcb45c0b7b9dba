"""Weights that the decay eats up."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import Moment, Track
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training

_BACK = 20


def shrinking_weight(trace: Trace, *, max_loss: float = 0.3) -> Iterator[Finding]:
    """The weights shrink, and it is the decay that moves them, not the gradient.

    What it does: fires where the median weight has lost max_loss of its norm since the first step, a tenth within the last
    twenty, and the steps point at zero: a cosine between dw and w below -0.7.

    Why it is bad: the decay is stronger than what there is to learn: the model ends at zero, and the loss at that of a
    constant.

    How it is measured: in a watched loop, on samples of the entries of matrices and kernels.

    When it is legitimate: weights that are pruned by decay on purpose; weights in front of a normalisation, whose size does not
    matter, shrink too, but not towards it.

    How to fix: a smaller weight_decay; remember that AdamW multiplies it by the learning rate and Adam does not.

    How to silence: ignore={"shrinking-weight": "the reason"}, or a larger max_loss.
    """
    for track in over_time.tracks(trace):
        if not track.moments or not _points_at_zero(track, track.moments[-1]):
            continue
        whole = [one for one in track.moments if one.weights]
        if len(whole) < 2 or whole[0].step > _BACK:
            continue
        first, last = whole[0], whole[-1]
        earlier = next((one for one in reversed(whole) if one.step <= last.step - _BACK), None)
        if earlier is None:
            continue
        found = [
            (i, last.weights[i] / first.weights[i], last.weights[i] / earlier.weights[i], last.along[i])
            for i, one in enumerate(track.parameters)
            if one.role == "weight" and first.weights[i] > 0 and earlier.weights[i] > 0
        ]
        if not found or median(share for _, share, _, _ in found) > 1 - max_loss:
            continue
        if median(share for _, _, share, _ in found) > 0.9:
            continue
        alongs = [along for *_, along in found if along is not None]
        share = median(share for _, share, _, _ in found)
        worst = [i for i, *_ in sorted(found, key=lambda entry: entry[1])]
        yield Finding(
            rule="shrinking-weight",
            severity=Severity.WARNING,
            message=f"the weights have come down to {share:.0%} of their norm in {last.step} steps "
            f"(at least {1 - max_loss:.0%} wanted), moved by the decay",
            places=over_time.places(track, worst),
            details=(
                ("because", f"steps point at zero: cosine {median(alongs):.2f} between a step and the weight"),
                ("help", f"a smaller weight_decay (here {max(group.weight_decay for group in track.groups):.2g})"),
            ),
            got=share,
            bound=1 - max_loss,
        )


def _points_at_zero(track: Track, moment: Moment) -> bool:
    rows = zip(moment.along, track.parameters, strict=False)
    alongs = [along for along, row in rows if along is not None and row.role == "weight"]
    return bool(alongs) and median(alongs) <= -0.7


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=40)


def sick() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    parameters = model.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=50.0)
    x = torch.randn(64, 8)
    y = x[:, :1] - x[:, 1:2]
    return Training(model, x, nn.MSELoss(), y, optimizer=optimizer, steps=40)
