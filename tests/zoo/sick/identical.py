"""Sick models whose units start equal and can never become different."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

RULE = "identical-units"


@sick(RULE, "0.weight", "2.weight")
def constant_mlp() -> Built:
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.05)
    return model, torch.randn(64, 10)


def uniform_rows(module: nn.Module) -> None:
    """Somebody's init function: every weight 1 / fan_in, "so that the mean passes"."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        module.weight.data.fill_(1.0 / module.weight[0].numel())
        nn.init.zeros_(module.bias)


@sick(RULE, "0.weight", "2.weight")
def averaging_convolutions() -> Built:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 16, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(1024, 5)
    )
    return model.apply(uniform_rows), torch.randn(16, 3, 8, 8)


class Regressor(nn.Module):
    """Constant hidden weights, and a zero head: the first gradient of the hidden layer is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 20)
        self.head = nn.Linear(20, 2)
        nn.init.constant_(self.hidden.weight, 0.2)
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(x)))


@sick(RULE, "hidden.weight")
def constant_behind_a_zero_head() -> Built:
    return Regressor(), torch.randn(64, 6)


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.out = nn.Linear(12, 3)
        for p in self.parameters():
            p.data = torch.full_like(p, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x)[0])


@sick(RULE, "lstm.weight_ih_l0", "lstm.weight_hh_l0")
def constant_lstm() -> Built:
    return Tagger(), torch.randn(32, 6, 8)


class Raw(nn.Module):
    """Matrices of its own, features last."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.ones(10, 24) / 10)
        self.w2 = nn.Parameter(torch.ones(24, 4) / 24)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x @ self.w1) @ self.w2


@sick(RULE, "w1")
def constant_raw_matrices() -> Built:
    return Raw(), torch.randn(64, 10)


class Latents(nn.Module):
    """Learned queries that all start at zero, and a head that reads their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(8, 16))
        self.attend = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.latents.expand(len(x), -1, -1)
        z = queries + self.attend(queries, x, x)[0]
        return self.head((z + self.mlp(z)).mean(1))


@sick(RULE, "latents")
def equal_latents_under_a_mean() -> Built:
    return Latents(), torch.randn(32, 10, 16)


class Repeated(nn.Module):
    """One good random filter, copied to all channels, and a head that sums them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 12, 5)
        self.up = nn.ConvTranspose1d(12, 6, 5)
        row = torch.randn(1, 4, 5) / 4
        self.conv.weight = nn.Parameter(row.repeat(12, 1, 1))
        self.up.weight = nn.Parameter((torch.randn(1, 6, 5) / 8).repeat(12, 1, 1))
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.relu(self.conv(x)))


@sick(RULE, "conv.weight")
def one_filter_copied() -> Built:
    return Repeated(), torch.randn(32, 4, 16)


def constant(weight: float, *activations: type[nn.Module], width: int) -> nn.Sequential:
    """Constant hidden weights, biases as torch draws them: they tell the units apart, but hundreds of steps late."""
    blocks = [(nn.Linear(width, width), activation()) for activation in activations]
    for linear, _ in blocks:
        nn.init.constant_(linear.weight, weight)
    return nn.Sequential(*(part for block in blocks for part in block), nn.Linear(width, 10))


@sick(RULE, "0.weight", "2.weight")
def constant_weights_behind_random_biases() -> Built:
    return constant(2 / 256, nn.ReLU, nn.ReLU, nn.ReLU, width=256), torch.randn(64, 256)


@sick(RULE, "0.weight", "2.weight")
def constant_weights_of_smooth_activations() -> Built:
    return constant(1 / 64, nn.GELU, nn.SiLU, width=64), torch.randn(64, 64)


@sick(RULE, "0.weight", "3.weight")
def constant_convolutions_behind_random_biases() -> Built:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ELU(), nn.AvgPool2d(2), nn.Conv2d(16, 32, 3), nn.ELU(), nn.Flatten(), nn.Linear(800, 5)
    )
    for layer in (model[0], model[3]):
        nn.init.constant_(layer.weight, 0.02)
    return model, torch.randn(32, 3, 16, 16)
