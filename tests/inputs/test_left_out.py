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


@pytest.mark.slow
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


class OnDemand(Two):
    """Sound: a second output that a flag asks for."""

    def forward(self, x: torch.Tensor, return_side: bool = False) -> Any:
        h = self.first(x).relu()
        side = self.side(h)
        return (self.out(h), side) if return_side else self.out(h)


class Remembers(Two):
    """Sound: what is computed goes into the states of the next segment, which are not given at first."""

    def forward(self, x: torch.Tensor, states: list[torch.Tensor] = []) -> Any:  # noqa: B006
        h = self.first(x).relu()
        side = self.side(h)
        for state in states:
            h = h + side * state.of_the_segment_before()
        return self.out(h)


class IdleFlag(Two):
    """Sick, whatever the flag is: it returns something else."""

    def forward(self, x: torch.Tensor, return_hidden: bool = False) -> Any:
        h = self.first(x).relu()
        self.side(h)
        return (self.out(h), h) if return_hidden else self.out(h)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "name"), [(OnDemand, "return_side"), (Remembers, "states")])
def test_a_flag_or_a_list_that_was_left_out_is_named_in_a_note(model: type[nn.Module], name: str) -> None:
    torch.manual_seed(0)
    (finding,) = _of_side(model())
    assert (finding.rule, finding.severity) == ("missing-gradient", Severity.NOTE)
    assert ("left out", f"{name} (optional)") in finding.details


def test_a_flag_that_reaches_nothing_more_excuses_nothing() -> None:
    torch.manual_seed(0)
    (finding,) = _of_side(IdleFlag())
    assert (finding.rule, finding.severity) == ("missing-gradient", Severity.ERROR)


class Echo(Two):
    """Sound: what the second layer makes of a step comes back forty steps later."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seq_len = x.shape[1]
        late = F.pad(self.side(x), (0, 0, 40, 0))[:, :seq_len]
        return self.out((self.first(x) + late).relu())


class Silenced(Two):
    """Sick, however long the series is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seq_len = x.shape[1]
        late = 0.0 * self.side(x)[:, :seq_len]
        return self.out((self.first(x) + late).relu())


@pytest.mark.slow
def test_zeros_that_longer_inputs_wake_are_a_note_on_made_up_inputs_only() -> None:
    torch.manual_seed(0)
    (finding,) = _of_side(Echo())
    assert (finding.rule, finding.severity) == ("zero-gradient", Severity.NOTE)
    assert "larger ones" in finding.message
    given = check_gradients(Echo(), torch.randn(16, 24, 8), config=Config())
    assert [(one.rule, one.severity) for one in given.findings] == [("zero-gradient", Severity.ERROR)]
    assert check_gradients(Echo(), torch.randn(16, 50, 8), config=Config()).findings == ()


@pytest.mark.slow
def test_zeros_that_no_length_wakes_stay_an_error() -> None:
    torch.manual_seed(0)
    (finding,) = _of_side(Silenced())
    assert (finding.rule, finding.severity) == ("zero-gradient", Severity.ERROR)


class OnePatch(nn.Module):
    """Sound: pictures of a set, each attended to in patches of its own; a picture may be one patch."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.side, self.value = nn.Conv2d(3, 8, 32, 32), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        b, n, c, h, w = pictures.shape
        patches = self.embed(pictures.flatten(0, 1)).flatten(2).mT
        scores = self.side(patches) @ patches.mT
        return (scores.softmax(-1) @ self.value(patches)).mean(1).unflatten(0, (b, n))


@pytest.mark.slow
def test_patches_of_pictures_as_wide_as_there_are_samples() -> None:
    torch.manual_seed(0)
    assert {finding.severity for finding in check_gradients(OnePatch(), config=Config()).findings} <= {Severity.NOTE}
