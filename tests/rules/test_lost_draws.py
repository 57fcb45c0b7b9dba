"""`cut-gradient` of draws by `sample()` whose mean and spread learn from another term of the loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.nn import functional as F

from gradcheck_health import Finding, check_gradients
from gradcheck_health.records.remedies import SOUND
from tests.zoo.entry import Sick
from tests.zoo.sick.draws import torch_normal
from tests.zoo.sick.lost_draws import Sampled, autoencoder_that_samples, autoencoder_with_torch_normal
from tests.zoo.sound.lost_draws import Autoencoder

Draw = Callable[[Tensor, Tensor], Tensor]
LEARNABLE: dict[str, Callable[[Tensor, Tensor], D.Distribution]] = {
    "Normal": D.Normal,
    "Independent": lambda mean, spread: D.Independent(D.Normal(mean, spread), 1),
    "MultivariateNormal": lambda mean, spread: D.MultivariateNormal(mean, torch.diag_embed(spread)),
    "LogNormal": D.LogNormal,
    "Laplace": D.Laplace,
    "Gumbel": D.Gumbel,
    "Gamma": lambda mean, spread: D.Gamma(spread, spread),
    "Beta": lambda mean, spread: D.Beta(spread, spread),
    "TransformedDistribution": lambda mean, spread: D.TransformedDistribution(D.Normal(mean, spread), [D.TanhTransform()]),
}


class Drawing(Autoencoder):
    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.draw = draw  # type: ignore[method-assign]


def loss(output: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    built, mean, log_variance = output
    return built.square().mean() + 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).mean()


def cut(model: nn.Module, of: Callable[[tuple[Tensor, Tensor, Tensor]], Tensor]) -> list[Finding]:
    report = check_gradients(model, torch.randn(32, 20), loss=of)
    return [finding for finding in report.findings if finding.rule == "cut-gradient"]


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNABLE)
def test_each_distribution_that_can_be_reparametrised_is_named(name: str) -> None:
    torch.manual_seed(0)
    model = Drawing(lambda mean, spread: LEARNABLE[name](mean, spread).sample())
    (found,) = cut(model, loss)
    assert found.message.startswith(f"{name}.sample hands no gradient back")
    assert "test_lost_draws.py:" in str(found.places[0])
    sound = Drawing(lambda mean, spread: LEARNABLE[name](mean, spread).rsample())
    assert not cut(sound, loss)


@pytest.mark.parametrize(
    "draw",
    [torch.normal, lambda mean, spread: torch.normal(mean=mean, std=spread), lambda mean, spread: torch.normal(mean, 0.3)],
)
def test_each_spelling_of_torch_normal_is_named(draw: Draw) -> None:
    torch.manual_seed(0)
    (found,) = cut(Drawing(draw), loss)
    assert found.message.startswith("normal hands no gradient back")


def test_draw_that_no_distribution_could_hand_back_is_no_matter_of_rsample() -> None:
    model = Drawing(lambda mean, spread: F.one_hot(D.Categorical(logits=mean).sample(), 8).float())
    assert not cut(model, loss)


@pytest.mark.slow
def test_mean_that_gets_no_gradient_at_all_is_told_once() -> None:
    model = Sampled()
    found = cut(model, lambda output: output[0].square().mean())
    assert len(found) == 1 and "trainable parameters off from" in found[0].message


@pytest.mark.slow
@pytest.mark.parametrize("entry", [autoencoder_that_samples, autoencoder_with_torch_normal, torch_normal], ids=lambda e: e.name)
def test_draw_that_hands_its_gradient_back_is_tried_as_a_cure(entry: Sick) -> None:
    """Also where nothing comes back at all, as in the last."""
    (trial,) = check_gradients(*entry.build(), remedies=True, only_remedies=["rsample"]).remedies
    assert (trial.rule, trial.remedy, trial.outcome) == ("cut-gradient", "rsample", SOUND)


def trained(model: nn.Module, x: Tensor) -> float:
    """Mean squared error of the reconstruction after 400 steps of Adam, over the variance of the data."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        built, mean, log_variance = model(x)
        divergence = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
        optimizer.zero_grad()
        (F.mse_loss(built, x) * 20 + 0.1 * divergence).backward()
        optimizer.step()
    with torch.no_grad():
        return float(F.mse_loss(model(x)[0], x) / x.var())


@pytest.mark.slow
def test_autoencoder_that_samples_learns_nothing_of_its_input() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 2) @ torch.randn(2, 20)
    assert trained(Autoencoder(), x) < 0.2
    assert trained(Sampled(), x) > 0.8
