"""Parts that show no operation: fused, scripted, compiled, checkpointed. Cured by values or as a whole, or not measured."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gradcheck_health import check_gradients
from gradcheck_health.records.remedies import NOT_MEASURED, RAISED, RemedyTrial

BATCH = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
BY_VALUES = ("he-init", "glorot-init", "orthogonal-init", "lsuv")
BY_OPERATIONS = ("selu-and-lecun", "tanh-and-he", "layer-norm", "batch-norm", "rezero", "residual-scaled")
pytestmark = pytest.mark.filterwarnings("ignore")


def layers(depth: int) -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList(nn.Linear(16, 16 if i < depth - 1 else 3) for i in range(depth))


class Deep(nn.Module):
    """Ten layers of sigmoids; `act` is called by forward."""

    def __init__(self, act: object = torch.sigmoid) -> None:
        super().__init__()
        self.layers, self.act = layers(11), act

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        return self.layers[-1](x)


class Within(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def tried(model: nn.Module, names: tuple[str, ...] = (*BY_VALUES, *BY_OPERATIONS), x: Tensor = BATCH) -> dict[str, RemedyTrial]:
    report = check_gradients(model, x, remedies=True, only_remedies=list(names))
    return {trial.remedy: trial for trial in report.remedies if trial.finding == 0}


def outcomes(trials: dict[str, RemedyTrial]) -> dict[str, tuple[object, ...]]:
    return {name: (one.outcome, one.after and pytest.approx(one.after, rel=1e-4)) for name, one in trials.items()}


@cache
def plain() -> dict[str, tuple[object, ...]]:
    return outcomes(tried(Deep()))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "part"])
def test_compiled_model_is_cured_as_the_same_one_that_is_not_compiled(whole: bool) -> None:
    compiled = torch.compile(Deep(), backend="eager")
    found = tried(compiled if whole else Within(compiled))
    assert outcomes(found) == plain()
    assert all(name.partition(".")[0] in ("layers", "body", "") for trial in found.values() for name in trial.names)


@pytest.mark.slow
def test_compiled_function_is_cured_as_the_same_one_that_is_not_compiled() -> None:
    assert outcomes(tried(Deep(torch.compile(lambda h: torch.sigmoid(h), backend="eager")))) == plain()


@pytest.mark.slow
def test_scripted_part_is_cured_by_its_values_alone() -> None:
    chain = nn.Sequential(*(part for layer in layers(10) for part in (layer, nn.Sigmoid())))
    found = tried(nn.Sequential(torch.jit.script(chain), nn.Linear(3, 3)))
    assert set(found) == set(BY_VALUES)
    assert all(trial.outcome not in (RAISED, NOT_MEASURED) for trial in found.values())
    assert "0.0.weight" in found["lsuv"].names and "xavier_normal_" in found["lsuv"].change


def squashed(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@pytest.mark.slow
def test_activation_inside_of_a_scripted_function_is_left_alone() -> None:
    found = tried(Deep(torch.jit.script(squashed)))
    assert set(found) >= set(BY_VALUES) and not {"selu-and-lecun", "tanh-and-he"} & set(found)
    assert [found[name].after for name in BY_VALUES] == [plain()[name][1] for name in BY_VALUES]


class Recomputed(Deep):
    """Its middle is a checkpointed function that belongs to no module."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        def middle(h: Tensor) -> Tensor:
            for layer in self.layers[1:-1]:
                h = torch.sigmoid(F.linear(h, layer.weight, layer.bias))
            return h

        entered = torch.sigmoid(self.layers[0](x))
        return self.layers[-1](checkpoint(middle, entered, use_reentrant=self.reentrant))


@pytest.mark.slow
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_function_is_cured_by_values_or_not_measured(reentrant: bool) -> None:
    found = tried(Recomputed(reentrant=reentrant))
    assert [found[name].after for name in BY_VALUES] == [plain()[name][1] for name in BY_VALUES]
    for name in BY_OPERATIONS:
        assert found[name].outcome == NOT_MEASURED and "checkpointed function" in found[name].why, name


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = nn.RNN(16, 16, batch_first=True), nn.Linear(16, 3)
        with torch.no_grad():
            self.rnn.weight_hh_l0.mul_(0.01)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


@pytest.mark.slow
def test_fused_recurrence_is_cured_by_values_or_exchanged_whole() -> None:
    x = torch.randn(32, 30, 16, generator=torch.Generator().manual_seed(1))
    found = tried(Recurrent(), ("orthogonal-recurrent", "lstm-for-rnn", "norm-on-state", "leaky-state"), x)
    assert set(found) == {"orthogonal-recurrent", "lstm-for-rnn"}  # no operation of its inside is exchanged
    assert all(trial.helps for trial in found.values())
    exchanged = Recurrent()
    torch.manual_seed(0)
    nn.init.orthogonal_(exchanged.rnn.weight_hh_l0)
    assert not any(one.rule == "vanishing-through-time" for one in check_gradients(exchanged, x).findings)
