"""`assert_trains`: fifty steps on one batch, judged, and undone."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import UnhealthyGradientsError, UsageError, assert_trains
from gradcheck_health.check.watch.trains import check_trains

X, Y = torch.randn(32, 8, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 3
MSE = {"loss": nn.MSELoss(), "targets": X[:, :3]}


def mlp(width: int = 16) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))


def losses(**settings: Any) -> list[float | None]:
    history = check_trains(mlp(), X, **{**MSE, "steps": 5, **settings}).trace.history
    assert history is not None
    return [moment.loss for moment in history.tracks[0].moments]


@pytest.mark.slow
def test_sound_model_trains_and_nothing_of_it_stays() -> None:
    model = mlp()
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    report = assert_trains(model, X, loss="cross_entropy", targets=Y)
    assert report.ok
    assert not report.findings
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_loss_is_that_of_the_same_loop_written_by_hand() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(X), X[:, :3])
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert losses(optimizer="sgd", lr=0.1) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "spelled",
    [
        {"optimizer": "adamw", "lr": 0.01},
        {"optimizer": "AdamW", "lr": 0.01},
        {"optimizer": torch.optim.AdamW, "lr": 0.01},
        {"optimizer": partial(torch.optim.AdamW, lr=0.01)},
        {"lr": 0.01},
    ],
)
def test_an_optimizer_in_all_its_spellings(spelled: dict[str, Any]) -> None:
    assert losses(**spelled) == losses(optimizer="adamw", lr=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        ("diverging-loss", {"optimizer": "sgd", "lr": 1e3}),
        ("zero-learning-rate", {"optimizer": "sgd", "lr": 0.0}),
        ("unoptimized-parameter", {"optimizer": lambda parameters: torch.optim.SGD(list(parameters)[:2], lr=0.1)}),
    ],
)
def test_sick_run_is_named(rule: str, settings: dict[str, Any]) -> None:
    report = check_trains(mlp(), X, **MSE, **settings)
    assert rule in {finding.rule for finding in report.findings}


@pytest.mark.slow
def test_message_of_a_run_that_diverges_and_the_model_as_it_was() -> None:
    model = mlp()
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(UnhealthyGradientsError, match="diverging-loss"):
        assert_trains(model, X, **MSE, optimizer="sgd", lr=1e3)
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adamm"}, "adam"),
        ({"optimizer": partial(torch.optim.SGD, lr=1.0), "lr": 0.1}, "where it is built"),
    ],
)
def test_wrong_optimizer_is_one_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        assert_trains(mlp(), X, **MSE, **settings)
