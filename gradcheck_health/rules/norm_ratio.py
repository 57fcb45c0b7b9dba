"""The plain bound that a team wants on its own model."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.measurements import TensorStats
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn

healthy_options = {"min": 1e-4, "max": 1e4}
"""Off unless configured: the examples below are judged under these."""


def norm_ratio(
    trace: Trace,
    *,
    min: float | None = None,  # noqa: A002 - the name that the user writes in a config
    max: float | None = None,  # noqa: A002
    of: Literal["parameter", "activation"] = "parameter",
    layers: str = "*",
) -> Iterator[Finding | Need]:
    """A gradient norm, relative to the layer nearest to the output, lies outside the bounds that you set.

    What it does: divides the gradient norm of every weight (of="parameter") or layer output (of="activation") by that
    of the last one in execution order, and compares the quotient with min and max.

    Why it is bad: you said so. The other rules judge by definitions that hold for any model; this is the literal
    bound for one model.

    How it is measured: rms of the gradient over rms of the gradient of the last matching weight or layer output. Off
    unless min or max is set.

    When it is legitimate: whatever your bounds allow.

    How to fix: see vanishing-gradient and exploding-gradient.

    How to silence: ignore={"norm-ratio:embed.*": "the reason"}, or wider bounds; layers= narrows it to a pattern of
    names.
    """
    if min is None and max is None:
        return
    measured = [
        (name, kind, stats.rms) for name, kind, stats in _gradients(trace, of) if fnmatchcase(name, layers) and stats.finite
    ]
    if len(measured) < 2 or not measured[-1][2]:
        return
    reference = measured[-1][0]
    outside = []
    for name, kind, rms in measured:
        quotient = rms / measured[-1][2]
        if (min is not None and quotient < min) or (max is not None and quotient > max):
            outside.append((name, kind, quotient))
    if not outside:
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    seen = trace.closest
    allowed = " and ".join(
        text
        for text in (f"at least {min:.2g}" if min is not None else "", f"at most {max:.2g}" if max is not None else "")
        if text
    )
    name, _, got = outside[0]
    yield Finding(
        rule="norm-ratio",
        severity=Severity.ERROR,
        message=f"the gradient of {name} is {got:.2g} x that of {reference}, {len(outside)} in all ({allowed} allowed)",
        places=tuple(Place(name, kind, _source(seen, name), f"{quotient:.2g} x") for name, kind, quotient in outside),
        details=(("help", "see gradhealth explain vanishing-gradient and exploding-gradient"),),
        got=got,
        bound=min if min is not None and got < min else max,
    )


def _gradients(trace: Trace, of: str) -> Iterator[tuple[str, str, TensorStats]]:
    if of == "activation":
        for layer in trace.layers.values():
            inner = any(name.startswith(f"{layer.name}.") for name in trace.layers)
            if layer.output_gradient is not None and layer.name and not inner:
                yield layer.name, layer.kind, layer.output_gradient
    else:
        for p in trace.parameters.values():
            if p.gradient is not None and p.role in ("weight", "embedding", "padded embedding"):
                yield p.name, p.kind, p.gradient


def _source(trace: Trace, name: str) -> str | None:
    entry = trace.parameters.get(name) or trace.layers.get(name)
    return None if entry is None else entry.source


def healthy() -> nn.Module:
    """Judged with min = 1e-4 and max = 1e4."""
    from torch import nn

    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def sick() -> nn.Module:
    """Judged with min = 1e-4 and max = 1e4."""
    from torch import nn

    head = nn.Linear(16, 4)
    nn.init.normal_(head.weight, std=1e-5)
    return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), head)
