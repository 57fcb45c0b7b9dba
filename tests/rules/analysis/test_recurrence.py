"""The profile over time against closed forms, and what the two rules make of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Finding, Severity, check_gradients
from gradcheck_health.records.evidence import TimeProfile
from gradcheck_health.rules.analysis import recurrence

RULES = ["vanishing-through-time", "exploding-through-time"]


def checked(model: nn.Module, inputs: Any = None, **settings: Any) -> tuple[TimeProfile | None, list[Finding]]:
    report = check_gradients(model, inputs, select=RULES, seed=0, **settings)
    profiles = [profile for seen in report.trace.facts.get("time_profile", ()) for profile in seen.times]
    return (profiles[0] if profiles else None), list(report.findings)


class Linear(nn.Module):
    """h_t = a R h_(t-1) + W x_t with a rotation R: |dL/dx_t| = a^(T-t) |W^T r| where W is orthogonal."""

    def __init__(self, a: float, width: int = 12, average: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recur, self.enter = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.recur.weight)
        nn.init.orthogonal_(self.enter.weight)
        self.recur.weight.data.mul_(a)
        self.average = average

    def forward(self, x: Tensor) -> Tensor:
        h, states = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = self.recur(h) + self.enter(x[:, t])
            states.append(h)
        return torch.stack(states, 1).mean(1) if self.average else torch.stack(states, 1)


@pytest.mark.parametrize("a", [0.05, 0.5, 1.0, 2.5])
def test_linear_recurrence_is_a_to_the_steps(a: float) -> None:
    profile, _ = checked(Linear(a), torch.randn(6, 25, 12))
    assert profile is not None
    assert len(profile.norms) == 25
    assert recurrence.ratio(profile, 20) == pytest.approx(a**20, rel=1e-3)
    assert recurrence.gain(profile, 20) == pytest.approx(a, rel=1e-3)
    assert recurrence.exponential(profile) or a == 1.0


@pytest.mark.parametrize(("a", "rules"), [(0.05, RULES[:1]), (0.3, []), (1.0, []), (1.3, []), (1.6, RULES[1:])])
def test_default_bounds(a: float, rules: list[str]) -> None:
    """0.3^20 = 3e-11 is worth a note; 1.3^24 = 540 is nothing; 1.6^24 = 8e4 is an exponential beyond 1e4."""
    _, found = checked(Linear(a), torch.randn(6, 25, 12))
    assert [finding.rule for finding in found if finding.severity is Severity.ERROR] == rules


@pytest.mark.parametrize(("bias", "kept"), [(0.0, 0.5), (1.0, 0.7311), (2.0, 0.8808)])
def test_cell_path_of_an_lstm_keeps_the_sigmoid_of_its_forget_bias(bias: float, kept: float) -> None:
    """Gates that see nothing but their bias: the cell is multiplied by sigmoid(b_f) a step, and by nothing else."""
    torch.manual_seed(0)
    lstm = nn.LSTM(8, 16, batch_first=True)
    for name, parameter in lstm.named_parameters():
        parameter.data.zero_()
        if name == "weight_ih_l0":
            parameter.data[32:48] = 0.01 * torch.randn(16, 8)  # the candidate alone reads the input
    lstm.bias_ih_l0.data[16:32] = bias
    profile, _ = checked(lstm, 0.01 * torch.randn(6, 25, 8))
    assert profile is not None
    assert recurrence.gain(profile, 20) == pytest.approx(kept, rel=1e-3)


def test_default_layer_of_torch_keeps_what_theory_says() -> None:
    """Weights uniform in +-1 / sqrt(n) have the spectral radius 1 / sqrt(3) = 0.577 for large n."""
    torch.manual_seed(0)
    profile, found = checked(nn.RNN(4, 400, batch_first=True), 0.01 * torch.randn(4, 25, 4))
    assert profile is not None
    assert recurrence.gain(profile, 20) == pytest.approx(0.577, rel=0.05)
    assert found == []


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("steps", [5, 60])
def test_layers_of_torch_as_they_are_initialised_are_sound_at_any_length(kind: type[nn.RNNBase], steps: int) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        _, found = checked(kind(8, 24, batch_first=True), torch.randn(8, steps, 8))
        assert found == []


def test_short_sequence_is_repeated_for_a_layer_and_carried_on_for_a_loop() -> None:
    rnn = nn.RNN(8, 24, batch_first=True)
    nn.init.normal_(rnn.weight_hh_l0, std=0.01)
    profile, (finding,) = checked(rnn, torch.randn(8, 4, 8))
    assert profile is not None
    assert (len(profile.norms), profile.stretched, finding.severity) == (21, 4, Severity.ERROR)
    profile, (finding,) = checked(Linear(0.05), torch.randn(6, 8, 12))
    assert profile is not None
    assert len(profile.norms) == 8
    assert finding.got == pytest.approx(0.05**20, rel=1e-2)
    assert finding.severity is Severity.NOTE, "eight steps prove little"


@pytest.mark.slow
def test_horizon_and_bound_of_the_user() -> None:
    """0.577 a step: 40 steps back 3e-10 is left, which is below 1e-8."""
    torch.manual_seed(0)
    x = torch.randn(4, 60, 8)
    model = nn.RNN(8, 200, batch_first=True)
    options = {"vanishing-through-time": {"horizon": 40}}
    _, (finding,) = checked(model, x, rules=options)
    assert finding.severity is Severity.ERROR
    assert math.log10(finding.got or 1.0) == pytest.approx(40 * math.log10(0.55), abs=1.0)
    assert checked(model, x, rules={"vanishing-through-time": {"horizon": 10}})[1] == []
    assert len(checked(model, x, rules={"vanishing-through-time": {"min_ratio": 1e-3}})[1]) == 1
    assert len(checked(model, x, rules={"exploding-through-time": {"max_ratio": 1e-30}})[1]) == 1


def test_mean_over_the_steps_has_a_way_round_for_every_step() -> None:
    profile, found = checked(Linear(0.05, average=True), torch.randn(6, 25, 12))
    assert profile is not None
    assert recurrence.ratio(profile, 20) > 0.5
    assert found == []


class Detached(Linear):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = self.recur(h.detach() if t == 15 else h) + self.enter(x[:, t])
        return h


def test_detached_state_is_a_note() -> None:
    profile, (finding,) = checked(Detached(1.0), torch.randn(6, 25, 12))
    assert profile is not None
    assert [norm == 0.0 for norm in profile.norms] == [t < 15 for t in range(25)]
    assert finding.severity is Severity.NOTE
    assert "detached" in str(finding.details)


def test_nothing_is_asked_of_a_model_without_a_recurrence() -> None:
    profile, found = checked(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(6, 12, 8))
    assert (profile, found) == (None, [])


def test_tokens_and_packed_sequences() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.cell = nn.Embedding(30, 12), Linear(0.5)
            self.rnn = nn.GRU(12, 10, batch_first=True)

        def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
            h = self.cell(self.embed(tokens))
            packed = nn.utils.rnn.pack_padded_sequence(h, lengths, batch_first=True, enforce_sorted=False)
            return self.rnn(packed)[1][-1] + h[:, -1, :10]

    report = check_gradients(Reader(), (torch.randint(30, (6, 24)), torch.full((6,), 24)), select=RULES)
    layer, whole = report.trace.facts["time_profile"][0].times
    assert (layer.layer, layer.kind, layer.width) == ("rnn", "GRU", 10)
    assert (whole.layer, len(whole.norms)) == ("", 24)
