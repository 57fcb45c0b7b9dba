"""What is seen of steps that are not measured, and of an optimizer's buffers."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from gradcheck_health import watch
from gradcheck_health.check.watch.judge import causes
from gradcheck_health.check.watch.loop import Watch
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import Noticed


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))


def _rules(health: Watch) -> list[str]:
    return [one.finding.rule for one in health.history.noticed]


def _backward(model: nn.Module, scale: float = 1.0) -> None:
    (model(torch.randn(32, 8)).square().mean() * scale).backward()


def test_backward_passes_are_counted_at_each_step() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer, every=10, dense=0, second_look=False) as health:
        for _ in range(25):
            optimizer.zero_grad()
            _backward(model)
            _backward(model)
            optimizer.step()
    (track,) = health.history.tracks
    assert (track.steps, track.backwards, track.discarded, track.uncleared) == (25, 50, 0, 0)
    assert [one.step for one in track.moments] == [10, 20]


def test_steps_that_stop_between_two_measured_ones_are_noticed() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer, every=1000, dense=2, second_look=False, on_sick="log") as health:
        for k in range(60):
            optimizer.zero_grad()
            _backward(model)
            if k < 10:
                optimizer.step()
    assert _rules(health) == ["discarded-gradient"]


def test_gradient_that_is_not_cleared_is_noticed_at_a_measured_step() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with watch(model, optimizer, every=10, dense=0, second_look=False, on_sick="log") as health:
        for k in range(20):
            if k < 5:
                optimizer.zero_grad()
            _backward(model)
            optimizer.step()
    assert _rules(health) == ["uncleared-gradient"]


def test_watching_goes_on_after_a_step_that_raised() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def raises() -> torch.Tensor:
        raise RuntimeError("out of memory")

    with watch(model, optimizer, second_look=False) as health:
        for k in range(6):
            optimizer.zero_grad()
            _backward(model)
            with contextlib.suppress(RuntimeError):
                optimizer.step(raises if k == 2 else None)
    assert health.history.steps == 5


def test_units_that_their_bias_shows_alive_are_not_idle() -> None:
    model = _model()
    nn.init.constant_(model[0].bias[:4].data, -100.0)  # four units are dead
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, optimizer, second_look=False, on_sick="log") as health:
        for _ in range(12):
            optimizer.zero_grad()
            _backward(model)
            assert int((model[0].weight.grad.abs().sum(1) == 0).sum()) == 4
            optimizer.step()
    assert health.history.tracks[0].moments[-1].idle_rows == (4, 0, 0, 0)


def test_norms_beyond_the_squares_of_float32_are_exact() -> None:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for scale in (1e-25, 1e22):
        with watch(model, optimizer, second_look=False, on_sick="log") as health:
            optimizer.zero_grad()
            _backward(model, scale)
            optimizer.step()
        expected = [float(p.grad.double().norm()) for p in model.parameters() if p.grad is not None]
        assert list(health.history.tracks[0].moments[0].gradients) == pytest.approx(expected, rel=1e-5)


def test_infinite_buffer_of_an_optimizer_is_named() -> None:
    model = _model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with watch(model, optimizer, second_look=False, on_sick="log") as health:
        for _ in range(3):
            optimizer.zero_grad()
            _backward(model, 1e22)  # its square is infinite in float32, and the step 0
            optimizer.step()
    (finding,) = health.report.findings
    assert finding.rule == "nonfinite-update" and finding.message.startswith("exp_avg_sq of Adam holds NaN or Inf")


def test_warning_hides_what_says_that_it_is_its_effect() -> None:
    cause = Noticed(5, Finding("huge-update", Severity.WARNING, "", ()))
    effect = Noticed(9, Finding("vanished-gradient", Severity.WARNING, "", (), effect_of=("huge-update",)))
    other = Noticed(9, Finding("dead-unit", Severity.WARNING, "", ()))
    assert causes([effect, cause, other]) == (cause, other)
    assert causes([effect, other]) == (effect, other)
