"""On suspicion: the whole check on the weights as they are, with the loop's own batch; the loop goes on bit for bit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch

from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.training.watching.watcher import Watcher
from gradcheck_health.records.errors import describe_error
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import Moment, Track, WatchedParameter
from gradcheck_health.settings.config import Config

LOOKS = 3
"""In one run, at most: each costs several forward and backward passes."""
SUSPICIOUS = frozenset(
    {
        "dead-unit",
        "diverging-loss",
        "huge-update",
        "missing-gradient",
        "no-gradient-at-step",
        "shrinking-weight",
        "stagnant-loss",
        "tiny-update",
        "vanished-gradient",
    }
)
"""Rules whose finding the gradients of the model may explain."""


OF_THE_LOSS = ("broadcast-loss", "dead-loss-term", "double-softmax", "high-initial-loss", "misread-loss")
"""Rules that need the loss itself, not only the direction in which it pulls the output."""


EARLY = 10
"""The step at which gradients of very different sizes are worth a pass of their own."""
_APART = 1e-4
THROWN = 10.0
"""|dw| / |w| of a first step."""


CONFIRMS = frozenset(
    {"constant-output", "cut-gradient", "dead-unit", "missing-gradient", "unregistered-parameter", "zero-gradient"}
)
"""Rules of the check without which weights that got no gradient in the loop are teachers, or wait for their turn."""


def worth_a_look(track: Track, moment: Moment) -> bool:
    """The first step left nothing of the initial weights, so that units may be saturated; or gradients are uneven."""
    first = track.moments[0]
    return (first.step == 1 and (first.median or 0.0) > THROWN) or uneven(moment, track.parameters)


def uneven(moment: Moment, parameters: Sequence[WatchedParameter]) -> bool:
    """The gradient of one weight is ten thousand times smaller, entry for entry, than that of another: it may vanish."""
    sizes = [
        size / math.sqrt(math.prod(row.shape))
        for size, row in zip(moment.gradients, parameters, strict=False)
        if size and row.role == "weight"
    ]
    return len(sizes) > 1 and min(sizes) < _APART * max(sizes) < math.inf


def second_look(watcher: Watcher, settings: Config) -> tuple[list[Finding], str]:
    """The errors and warnings that the check finds; and why there was no check, "" where there was one."""
    inputs = watcher.calls.inputs()
    if inputs is None:
        return [], "the model itself was not called with gradients, so there is no batch to check it with"
    if not all(torch.isfinite(p).all() for p in watcher.model.parameters()):
        return [], "the weights are not finite any more"
    from gradcheck_health.check.api import check_gradients

    try:
        with torch.enable_grad():
            report = check_gradients(
                unwrap(watcher.model),
                inputs,
                loss=watcher.calls.objective(),
                config=dataclasses.replace(settings, rounds=1, select=None, fail_on=Severity.ERROR),
            )
    except Exception as error:  # noqa: BLE001 - the loop goes on, whatever a check of it raises
        return [], f"it raised {describe_error(error)}"
    unknown = () if watcher.calls.knows_loss else OF_THE_LOSS
    found = (one for one in report.active if one.severity is not Severity.NOTE)
    return [one for one in found if one.rule not in unknown], ""
