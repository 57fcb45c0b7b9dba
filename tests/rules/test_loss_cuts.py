"""A cut inside the loss is told as one: the operation, its line, and the loss as the place."""

from __future__ import annotations

import pytest
import torch

from gradcheck_health import check_gradients
from tests.zoo.entry import Sick, sick_models
from tests.zoo.sick import cut_losses
from tests.zoo.sick.cut_losses import labels, net

OPERATIONS = {
    "share-of-misses-as-a-loss": "argmax",
    "loss-of-a-detached-output": "detach",
    "loss-made-of-its-own-number": "item",
    "dice-of-a-threshold": "gt",
    "loss-computed-in-numpy": "numpy",
    "second-term-of-the-loss-has-no-graph": "data",
}


@pytest.mark.parametrize("entry", sick_models(cut_losses), ids=lambda entry: entry.name)
def test_operation_and_line_in_the_loss(entry: Sick) -> None:
    model, inputs = entry.build()
    report = check_gradients(model, inputs, seed=0, **entry.settings)
    (finding,) = (one for one in report.findings if one.rule == "cut-gradient")
    starts = dict(finding.details)["starts"]
    assert starts.startswith(f"the loss ({OPERATIONS[entry.name]}), ")
    assert "cut_losses.py:" in starts and "from the loss" in finding.message


def test_loss_that_ignores_the_output_is_a_finding() -> None:
    report = check_gradients(net(), torch.randn(32, 8), loss=lambda out, target: target.float().mean(), targets=labels())
    (finding,) = (one for one in report.findings if str(one.severity) == "error")
    assert finding.rule == "missing-gradient" and "does not reach the loss" in finding.places[0].note
