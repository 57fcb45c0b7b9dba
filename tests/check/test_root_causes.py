"""One fault, one finding: what is asked first, what hides what, and what a flow finding blames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import Finding, Severity, check_gradients, rules
from gradcheck_health.check.root_causes import HIDES, ask, root_causes
from gradcheck_health.records.finding import Need
from gradcheck_health.records.measurements import CutPoint, InputsTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow

FED = InputsTrace("float32[4, 4]", "given", False, 4)
NOTHING = Trace("Net", {}, {}, (), (), (), FED, "random projection", 0)


def error(rule: str, **options: Any) -> Finding:
    return Finding(rule, Severity.ERROR, "sick", **options)


def of(*findings: Finding) -> list[str]:
    return [finding.rule for finding in root_causes(list(findings))]


def test_nan_hides_everything_else() -> None:
    assert of(error("vanishing-gradient"), error("nonfinite-gradient"), error("dead-unit")) == ["nonfinite-gradient"]


def test_dead_units_hide_the_flow_that_they_stop() -> None:
    assert of(error("vanishing-gradient"), error("dead-unit"), error("cut-gradient")) == ["dead-unit", "cut-gradient"]


def test_effect_is_hidden_by_the_cause_that_it_names_and_by_no_other() -> None:
    effect = error("zero-gradient", effect_of=("dead-unit",))
    assert of(effect, error("dead-unit")) == ["dead-unit"]
    assert of(effect, error("cut-gradient")) == ["zero-gradient", "cut-gradient"]


def test_accepted_cause_hides_nothing() -> None:
    assert of(error("nonfinite-gradient", suppressed="known"), error("dead-unit")) == ["nonfinite-gradient", "dead-unit"]


def test_nobody_looks_for_consequences_of_a_nan() -> None:
    asked = []

    def nonfinite_gradient(trace: Trace) -> Iterator[Finding | Need]:
        yield error("nonfinite-gradient")

    def dead_unit(trace: Trace) -> Iterator[Finding | Need]:
        asked.append("dead-unit")
        yield Need("more_samples")

    rules = {"dead-unit": dead_unit, "nonfinite-gradient": nonfinite_gradient}
    findings, needs, ran = ask(rules, {}, NOTHING, lambda found: found)
    assert ([finding.rule for finding in findings], needs, ran) == (["nonfinite-gradient"], [], ("nonfinite-gradient",))
    assert asked == []


def test_product_with_a_constant_matrix_is_not_blamed_on_weights() -> None:
    points = [CutPoint("conv", "Mm", 2.0), CutPoint("", "Mm", 1.0), CutPoint("head", "Addmm", 1e3)]
    blame = flow.blame(points, weighted={"conv", "head"})
    assert blame is not None
    assert blame.op == "linear"
    blame = flow.blame(
        [CutPoint("conv", "Mm", 1e-3), CutPoint("", "Mm", 1.0), CutPoint("head", "Addmm", 1.0)], weighted={"head"}
    )
    assert blame is not None
    assert (blame.op, blame.culprits[0].point.layer) == ("product", "")


class Graph(nn.Module):
    """Sums over neighbours of a dense graph, not divided by their number."""

    def __init__(self, layers: int = 5) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(8, 16), nn.Linear(16, 4)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(layers))
        self.register_buffer("adjacency", torch.ones(64, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.enter(x)
        for layer in self.layers:
            h = torch.relu(layer(self.adjacency @ h))
        out: torch.Tensor = self.head(h)
        return out


@pytest.mark.slow
def test_adjacency_of_a_graph_is_named() -> None:
    torch.manual_seed(0)
    report = check_gradients(Graph(), torch.randn(64, 8))
    (finding,) = report.failures
    assert finding.rule == "exploding-gradient"
    details = dict(finding.details)
    assert "no weight of the layer" in details["because"]
    assert "adjacency" in details["help"]
    assert "test_root_causes.py" in details["starts"]


@pytest.mark.slow
def test_depth_line_is_that_of_the_measured_rate() -> None:
    """A linear net of orthogonal weights keeps exactly its gain a layer."""
    model = nn.Sequential(*(nn.Linear(32, 32, bias=False) for _ in range(20)))
    for layer in model:
        nn.init.orthogonal_(layer.weight, gain=0.5)
    (finding,) = check_gradients(model, torch.randn(16, 32)).failures
    layers = math.ceil(math.log(10**-4.1) / math.log(0.5))
    assert f"every 1 layers; at this rate {layers} layers" in dict(finding.details)["depth"]


@pytest.mark.slow
def test_fixed_model_batch_and_loss_are_said_to_repeat() -> None:
    model = nn.Sequential(*(layer for _ in range(10) for layer in (nn.Linear(8, 8), nn.Sigmoid())))
    (finding,) = check_gradients(model, torch.randn(16, 8), loss=lambda out: out.square().mean()).failures
    assert "each repeats the first" in dict(finding.details)["confirmed"]


def test_every_name_in_the_table_of_causes_is_a_rule() -> None:
    named = {*HIDES, *(effect for effects in HIDES.values() for effect in effects or ())}
    assert named <= {*rules.names()}
