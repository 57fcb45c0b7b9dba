"""A watched loop: what is noticed, when, and that the loop computes what it computed before."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import GradientHealthWarning, History, UnhealthyGradientsError, UsageError, watch
from tests.check.watch.loops import batch, net, plain, rules_of, watched


def sgd(model: nn.Module, lr: float = 0.01, **settings: Any) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, **settings)


def test_sound_loop_is_quiet_and_measured_at_first_densely_then_now_and_then() -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    health = watched(model, optimizer, lambda tell: plain(model, optimizer, 60, tell), every=10, dense=20)
    assert health.report.findings == ()
    (track,) = health.history.tracks
    assert [one.step for one in track.moments] == [*range(1, 21), 30, 40, 50, 60]
    assert (track.steps, track.backwards, track.uncleared, track.discarded) == (60, 60, 0, 0)
    assert len(track.losses) == 60


def test_norms_and_ratios_are_those_of_a_second_computation() -> None:
    """Weights of fewer than 512 entries are sampled whole."""
    model = net()
    optimizer = sgd(model, 0.1)
    expected = []
    with watch(model, optimizer, on_sick="log") as health:
        for k in range(3):
            x, y = batch(k)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            before = [p.detach().clone() for p in model.parameters()]
            gradients = [p.grad.norm().item() for p in model.parameters() if p.grad is not None]
            optimizer.step()
            moved = [
                (p.detach() - old).norm().item() / old.norm().item() for p, old in zip(model.parameters(), before, strict=True)
            ]
            expected.append((gradients, moved))
    (track,) = health.history.tracks
    for moment, (gradients, moved) in zip(track.moments, expected, strict=True):
        assert moment.gradients == pytest.approx(gradients, rel=1e-5)
        assert moment.ratios == pytest.approx(moved, rel=1e-4)
        assert moment.gradient == pytest.approx(math.hypot(*gradients), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False])
def test_steps_that_are_too_large_and_too_small(given: bool) -> None:
    def run(lr: float) -> set[str]:
        model = net()
        optimizer = sgd(model, lr)
        return rules_of(
            watched(model, optimizer, lambda tell: plain(model, optimizer, 30, tell if given else (lambda _: None)))
        )

    assert run(1e-7) == {"tiny-update"}
    assert run(200.0) == {"nonfinite-gradient"}


def test_gradient_that_nobody_clears_is_known_at_the_second_step() -> None:
    model = net()
    optimizer = sgd(model)
    found: list[Any] = []
    with watch(model, optimizer, on_sick=found.append):
        plain(model, optimizer, 2, lambda _: None, clear=False)
    assert [one.rule for one in found] == ["uncleared-gradient"]


def test_accumulation_clears_in_time() -> None:
    model = net()
    optimizer = sgd(model)

    def loop(tell: Any) -> None:
        for k in range(24):
            x, y = batch(k)
            (nn.functional.mse_loss(model(x), y) / 4).backward()
            if k % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()

    health = watched(model, optimizer, loop)
    assert health.report.findings == ()
    assert health.history.tracks[0].backwards == 24


def test_zeroing_in_place_counts_as_clearing() -> None:
    model = net()
    optimizer = sgd(model)

    def loop(tell: Any) -> None:
        for k in range(8):
            x, y = batch(k)
            optimizer.zero_grad(set_to_none=False)
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()

    assert watched(model, optimizer, loop).report.findings == ()


def test_a_step_that_never_comes() -> None:
    model = net()
    optimizer = sgd(model)

    def loop(tell: Any) -> None:
        for k in range(25):
            x, y = batch(k)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()

    found: list[Any] = []
    with watch(model, optimizer, on_sick=found.append):
        loop(None)
        assert [one.rule for one in found] == ["discarded-gradient"]  # while it runs


def test_stale_optimizer_and_forgotten_layer() -> None:
    model = net()
    optimizer = sgd(model)
    model[2] = nn.Linear(16, 1)
    health = watched(model, optimizer, lambda tell: plain(model, optimizer, 5, tell))
    (finding,) = health.report.findings
    assert (finding.rule, str(finding.severity)) == ("unoptimized-parameter", "error")
    assert set(finding.names) == {"2.weight", "2.bias"}

    model = net()
    optimizer = sgd(model[2])  # type: ignore[arg-type]
    health = watched(model, optimizer, lambda tell: plain(model, optimizer, 5, tell))
    (finding,) = health.report.findings
    assert (finding.rule, str(finding.severity)) == ("unoptimized-parameter", "warning")


@pytest.mark.slow
def test_second_pass_names_the_cause_and_the_loop_goes_on_bit_for_bit() -> None:
    def run(watching: bool) -> tuple[list[float], Any, set[str]]:
        torch.manual_seed(0)
        layers = [part for i in range(12) for part in (nn.Linear(8 if not i else 32, 32), nn.Sigmoid())]
        model = nn.Sequential(nn.BatchNorm1d(8), *layers, nn.Dropout(0.2), nn.Linear(32, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
        losses: list[float] = []
        if not watching:
            plain(model, optimizer, 30, lambda loss: losses.append(loss.item()))
            return losses, model.state_dict(), set()
        with watch(model, optimizer, on_sick=lambda _: None) as health:
            plain(model, optimizer, 30, lambda loss: losses.append(health.loss(loss).item()))
        return losses, model.state_dict(), rules_of(health)

    bare, weights, _ = run(False)
    seen, same, rules = run(True)
    assert "vanishing-gradient" in rules
    assert seen == bare
    assert all(torch.equal(weights[name], same[name]) for name in weights)


@pytest.mark.slow
def test_each_finding_is_issued_once_in_the_way_that_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    def loop(way: Any) -> Any:
        model = net()
        optimizer = sgd(model, 1e-7)
        with watch(model, optimizer, on_sick=way) as health:
            plain(model, optimizer, 40, health.loss)
        return health

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop("warn")
    assert [one.category for one in caught] == [GradientHealthWarning]
    assert "tiny-update" in str(caught[0].message)
    with caplog.at_level(logging.WARNING, "gradcheck_health"):
        loop("log")
    assert ["tiny-update" in one.message for one in caplog.records] == [True]


def test_raise_stops_the_loop_at_an_error_and_takes_the_hooks_off() -> None:
    model = net()
    optimizer = sgd(model)
    with pytest.raises(UnhealthyGradientsError, match="uncleared-gradient") as caught, watch(model, optimizer, on_sick="raise"):
        plain(model, optimizer, 50, lambda _: None, clear=False)
    assert caught.value.report.trace.history.steps == 2
    assert not optimizer._optimizer_step_post_hooks
    assert not model._forward_hooks
    assert not any(p._post_accumulate_grad_hooks for p in model.parameters())


def test_error_of_the_loop_comes_through_and_the_history_stays() -> None:
    model = net()
    optimizer = sgd(model)
    health = watch(model, optimizer)

    def loop() -> None:
        with health:
            plain(model, optimizer, 5, health.loss)
            raise KeyError("data")

    with pytest.raises(KeyError):
        loop()
    assert health.history.steps == 5
    assert History.from_json(health.history.to_json()) == health.history


def test_accepted_finding_is_not_issued() -> None:
    model = net()
    optimizer = sgd(model, 1e-7)
    found: list[Any] = []
    with watch(model, optimizer, on_sick=found.append, ignore={"tiny-update": "a last epoch"}) as health:
        plain(model, optimizer, 20, health.loss)
    assert found == []
    assert [one.suppressed for one in health.report.findings] == ["a last epoch"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"on_sick": "shout"}, "allowed: 'warn', 'raise', 'log'"),
        ({"on_sick": 3}, "allowed: 'warn', 'raise', 'log'"),
        ({"every": 0}, "a whole number from 1"),
        ({"dense": -1}, "a whole number from 0"),
    ],
)
def test_wrong_argument_is_named(settings: dict[str, Any], text: str) -> None:
    model = net()
    with pytest.raises(UsageError, match=text):
        watch(model, sgd(model), **settings)


def test_optimizer_of_another_model_is_refused() -> None:
    with pytest.raises(UsageError, match="none of them is a parameter"):
        watch(net(), sgd(nn.Linear(3, 3)))
    with pytest.raises(UsageError, match=r"a torch\.optim\.Optimizer"):
        watch(net(), "adam")


def test_metrics_are_flat_numbers_with_names_that_every_logger_takes() -> None:
    model = net()
    optimizer = sgd(model)
    health = watched(model, optimizer, lambda tell: plain(model, optimizer, 12, tell))
    metrics = health.metrics()
    assert {"gradhealth/grad_norm", "gradhealth/update_ratio/median", "gradhealth/dead_share", "gradhealth/sick"} <= set(
        metrics
    )
    assert all(isinstance(value, float) for value in metrics.values())
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz_/") for name in metrics)


KILLED = """
import os, signal, sys, torch
sys.path.insert(0, sys.argv[2])
from tests.check.watch.loops import net, plain
from gradcheck_health import watch
model = net()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
count = 0
def tell(loss):
    global count
    count += 1
    if count == 31:
        os.kill(os.getpid(), signal.SIGKILL)
    health.loss(loss)
with watch(model, optimizer, file=sys.argv[1], on_sick="log") as health:
    plain(model, optimizer, 100, tell)
"""


@pytest.mark.slow
def test_kill_leaves_the_history_readable_up_to_the_last_step(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", KILLED, str(file), str(root)], cwd=root, check=False)
    assert done.returncode == -9
    history = History.from_file(file)
    assert history.steps == 30
    assert len(history.tracks[0].losses) == 30
    assert [one.finding.rule for one in history.noticed] == ["tiny-update"]
    with file.open("a") as stream:
        stream.write('{"track": 0, "moment": {"st')  # the line that was being written
    assert History.from_file(file) == history


def test_file_of_a_whole_run_is_the_history(tmp_path: Path) -> None:
    model = net()
    optimizer = sgd(model)
    health = watched(model, optimizer, lambda tell: plain(model, optimizer, 20, tell), file=tmp_path / "run.jsonl")
    assert History.from_file(tmp_path / "run.jsonl") == health.history
    assert all(json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines())


def test_optimizer_that_makes_nan_of_finite_gradients_is_the_cause_of_what_follows() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)).half()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)  # eps is 0 in float16
    with warnings.catch_warnings(), watch(model, optimizer, second_look=False) as health:
        warnings.simplefilter("ignore")
        for k in range(6):
            scale = 1e-4 if k >= 3 else 1.0
            optimizer.zero_grad()
            health.loss(model(torch.randn(4, 8).half()).float().square().mean() * scale).backward()
            optimizer.step()
    assert [one.rule for one in health.report.findings] == ["nonfinite-update"]
    finding = health.report.findings[0]
    assert str(finding.severity) == "error" and "eps = 1e-08 of Adam is 0 in float16" in dict(finding.details)["because"]
    assert not any(one.rule == "nonfinite-gradient" for one in health.report.findings)
