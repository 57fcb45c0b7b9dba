"""What made-up inputs leave out is told, and is never taken for a fault of the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradcheck_health.check.api import check_gradients
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.settings.config import Config


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.side, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)


class ZeroCondition(Two):
    """Sound: the condition is zeros where nobody gives one, and so is the gradient of what it meets."""

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        if condition is None:
            condition = torch.zeros_like(x)
        return self.out((self.first(x) + self.side(condition)).relu())


class OddTarget(Two):
    """Sound: what is computed is used with an argument that nobody can make up."""

    def forward(self, x: torch.Tensor, target: Any = None) -> Any:
        h = self.first(x).relu()
        side = self.side(h)
        if target is not None:
            return F.cross_entropy(side, target.as_classes(3)), self.out(h)
        return self.out(h)


class OddGraph(Two):
    """Sound: a layer that only such an argument leads to."""

    def forward(self, x: torch.Tensor, graph: Any = None) -> torch.Tensor:
        h = self.first(x).relu()
        if graph is not None:
            h = h + self.side(graph.nodes_of(3))
        return self.out(h)


class Forgotten(Two):
    """Sick, whatever is supplied."""

    def forward(self, x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        h = self.first(x).relu()
        self.side(h)
        return self.out(h if scale is None else h * scale)


class Zeroed(Two):
    """Sick, whatever is supplied."""

    def forward(self, x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        h = self.first(x).relu()
        return self.out((h if scale is None else h * scale) + 0.0 * self.side(h))


def _of_side(model: nn.Module) -> list[Finding]:
    report = check_gradients(model, config=Config())
    return [finding for finding in report.findings if any(name.startswith("side") for name in finding.names)]


@pytest.mark.parametrize(
    ("model", "rule", "name"),
    [
        (ZeroCondition, "zero-gradient", "condition"),
        (OddTarget, "missing-gradient", "target"),
        (OddGraph, "missing-gradient", "graph"),
    ],
)
def test_an_argument_that_was_left_out_is_named_in_a_note(model: type[nn.Module], rule: str, name: str) -> None:
    torch.manual_seed(0)
    (finding,) = _of_side(model())
    assert (finding.rule, finding.severity) == (rule, Severity.NOTE)
    assert ("left out", f"{name} (optional)") in finding.details


@pytest.mark.parametrize(("model", "rule"), [(Forgotten, "missing-gradient"), (Zeroed, "zero-gradient")])
def test_a_fault_that_no_argument_fixes_stays_an_error(model: type[nn.Module], rule: str) -> None:
    torch.manual_seed(0)
    (finding,) = _of_side(model())
    assert (finding.rule, finding.severity) == (rule, Severity.ERROR)


def test_given_inputs_are_meant_as_they_are() -> None:
    torch.manual_seed(0)
    report = check_gradients(ZeroCondition(), torch.randn(4, 8), config=Config())
    assert [finding.severity for finding in report.findings if finding.rule == "zero-gradient"] == [Severity.ERROR]
