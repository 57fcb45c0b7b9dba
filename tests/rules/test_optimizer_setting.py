"""Settings of an optimizer are judged when one step is taken, too."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients

SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        (partial(SGD, lr=0.01, momentum=1.0), "the momentum of SGD is 1 "),
        (partial(SGD, lr=0.01, momentum=0.99), ""),
        (partial(AdamW, lr=0.1, weight_decay=0.102), "AdamW takes 0.01 off each weight"),
        (partial(AdamW, lr=0.1, weight_decay=0.098), ""),
        (partial(Adam, lr=0.1, weight_decay=1.0), ""),  # it divides the decay by its size
        (partial(SGD, lr=0.1, weight_decay=1.0), "SGD takes 0.1 off each weight"),
    ],
)
def test_one_step_tells(optimizer: Any, told: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    report = check_gradients(model, torch.randn(32, 8), optimizer=optimizer)
    found = [finding.message for finding in report.findings if finding.rule == "optimizer-setting"]
    assert [message.startswith(told) for message in found] == ([True] if told else [])
