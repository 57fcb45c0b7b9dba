"""Steps of training that grow, or fade, with the width of the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from gradcheck_health.records.scale import Sweep


def width_unstable(trace: Trace, *, max_slope: float = 0.25) -> Iterator[Finding]:
    """The same learning rate moves the outputs of layers further in wider models, or less far.

    What it does: the coordinate check of a sweep over widths (gradhealth scale, check_scale): fires where the exponent of a
    layer, in how far a few steps of the optimizer move its output against width, lies beyond max_slope on either side.

    Why it is bad: a learning rate that was found on a narrow model is wrong for a wide one. With an exponent of 1, as in
    the standard parametrisation under Adam, a model ten times as wide moves ten times as far a step, and diverges; with a
    negative one its layers hardly learn.

    How it is measured: the root mean square of the change of each layer's output on one batch, over three steps, in at least
    four widths and four seeds; the exponent is the slope of its logarithm over that of the width. It has to lie
    beyond the bound by its standard error. Yang et al. 2022, Tensor Programs V, appendix D.1.

    When it is legitimate: the learning rate is tuned again for each width, which is what most people do.

    How to fix: muP: weights between hidden layers get a learning rate of 1 / width under Adam, the head values and a learning
    rate of 1 / width; the package mup does it. Or find the learning rate again at the width that counts.

    How to silence: ignore={"width-unstable": "the learning rate is tuned for each width"}.
    """
    scale = trace.scale
    if scale is None or not scale.judged:
        return
    found = [one for one in scale.slopes if abs(one.slope) - one.error > max_slope]
    if not found:
        return
    worst = found[0]
    how = "further" if worst.slope > 0 else "less far"
    widths = ", ".join(map(str, scale.widths))
    steps = f"{scale.steps} steps of {scale.optimizer} at {scale.width_name} {widths}, {scale.seeds} seeds"
    yield Finding(
        rule="width-unstable",
        severity=Severity.WARNING,
        message=(
            f"a step moves outputs {how} in wider models: by the power {worst.slope:.2g} of the width "
            f"(at most {max_slope:g} allowed on either side of 0)"
        ),
        places=tuple(Place(one.layer, one.kind, note=f"exponent {one.slope:.2f} +- {one.error:.2f}") for one in found),
        details=(
            ("measured", f"{steps}: {len(found)} of {len(scale.slopes)} layers"),
            ("help", "muP (learning rates of 1 / width, a scaled head) keeps it at 0, or tune the learning rate at each width"),
        ),
        got=worst.slope,
        bound=max_slope,
    )


def healthy() -> Sweep:
    """muP under Adam: the output times 1 / width, hidden rates of 1 / width."""
    import torch
    from torch import nn

    from gradcheck_health.records.scale import Sweep
    from gradcheck_health.records.training import Training

    class Scaled(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.stem = nn.Linear(16, width)
            self.hidden = nn.Linear(width, width)
            self.head = nn.Linear(width, 4, bias=False)
            nn.init.normal_(self.head.weight)
            self.share = 1 / width

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.stem(x))
            out: torch.Tensor = self.head(torch.relu(self.hidden(h)))
            return self.share * out

    def build(width: int) -> Training:
        model = Scaled(width)
        rates = {"stem": 3e-3, "hidden": 0.1 / width, "head": 3e-3}
        groups = []
        for name, lr in rates.items():
            weights = list(model.get_submodule(name).parameters())
            groups.append({"params": weights, "lr": lr})
        return Training(model, optimizer=torch.optim.Adam(groups))

    return Sweep(build, width=(32, 64, 128, 256))


def sick() -> Sweep:
    from torch import nn

    from gradcheck_health.records.scale import Sweep

    def build(width: int) -> nn.Module:
        first, middle = nn.Linear(16, width), nn.Linear(width, width)
        head = nn.Linear(width, 4)
        return nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), head)

    return Sweep(build, width=(32, 64, 128, 256))
