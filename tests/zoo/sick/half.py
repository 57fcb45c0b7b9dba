"""Sick models in half precision: what float16 takes for zero, and what it cannot hold."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

UNDER = "half-precision-underflow"
OVER = "half-precision-overflow"
ZEROS = {
    "zero-gradient": "what is flushed is zero",
    "vanishing-gradient": "what is flushed is zero",
    "cut-gradient": "what is flushed is zero",
    "constant-output": "the output is flushed, too",
}
INFINITE = {"nonfinite-gradient": "beyond 65504 lies Inf"}


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))


class Times(nn.Module):
    """A network in float16 whose output is scaled, step by step."""

    def __init__(self, *factors: float) -> None:
        super().__init__()
        self.body, self.factors = mlp().half(), factors

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        for factor in self.factors:
            y = y * factor
        return y


@sick(UNDER, "", also=ZEROS)
def output_divided_by_a_million() -> Built:
    return Times(1e-3, 1e-3, 1e-3), torch.randn(32, 16).half()


@sick(UNDER, "", also=ZEROS)
def loss_averaged_over_everything() -> Built:
    """The mean over a batch, the classes and then over ten million pixels that are not there."""

    class Averaged(Times):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).square().mean() / 1000 / 1000

    return Averaged(), torch.randn(64, 16).half()


class Autocast(nn.Module):
    """float32 weights, float16 inside."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.body, self.scale = mlp(), scale

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.float16):
            return self.body(x) * self.scale * 1e-3


@sick(UNDER, "", also=ZEROS)
def tiny_scale_under_autocast() -> Built:
    return Autocast(1e-5), torch.randn(32, 16)


class SmallHead(nn.Module):
    """Two heads of std 1e-4 behind each other, in float16."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.middle, self.head = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 4)
        nn.init.normal_(self.middle.weight, std=2e-5)
        nn.init.normal_(self.head.weight, std=2e-5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.middle(torch.relu(self.body(x)))))


@sick(UNDER, "", also=ZEROS)
def heads_of_tiny_weights() -> Built:
    return SmallHead().half(), torch.randn(64, 16).half()


@sick(UNDER, "", rules={UNDER: {"loss_scale": 1.0}}, also=ZEROS)
def float32_that_is_to_be_trained_in_half() -> Built:
    """Its author says so by the loss scale."""

    class Tempered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.body(x)) * 1e-8

    return Tempered(), torch.randn(32, 16)


@sick(OVER, "", "body", "0", "2", synonyms=INFINITE, data="values in the tens of thousands")
def raw_counts_in_half() -> Built:
    """Counts of tens of thousands go in as they are."""
    return Times(1.0), (60000 * torch.rand(32, 16)).half()


class Squares(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(16, 32, dtype=dtype), nn.Linear(32, 4, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x).square()
        return self.leave(h * h.sum(-1, keepdim=True))


@sick(OVER, "", "enter", "leave", synonyms=INFINITE, data="a standard deviation of 30")
def fourth_powers_in_half() -> Built:
    return Squares(torch.float16), 30 * torch.randn(32, 16).half()


@sick(OVER, "", "embed", "head", synonyms=INFINITE)
def embeddings_of_large_std_in_half() -> Built:
    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(50, 64), nn.Linear(64, 50)
            nn.init.normal_(self.embed.weight, std=300.0)

        def forward(self, ids: Tensor) -> Tensor:
            h = self.embed(ids)
            return self.head(h @ self.embed.weight.t() @ self.embed.weight)

    return Logits().half(), torch.randint(50, (16, 6))


@sick(OVER, "0", rules={OVER: {"loss_scale": 1.0}}, also={"vanishing-gradient": "the norm behind it divides by as much"})
def float32_beyond_half_that_is_to_be_trained_in_half() -> Built:
    model = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.Linear(32, 4))
    model[0].weight.data.mul_(1e6)
    return model, torch.randn(32, 16)


@sick(OVER, "", rules={OVER: {"loss_scale": 2.0**24}})
def loss_scale_that_is_too_large() -> Built:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return F.mse_loss(self.body(x), torch.ones(len(x), 4), reduction="sum")

    return Summed(), torch.randn(32, 16)
