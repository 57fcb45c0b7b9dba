"""Sound models in which some parameters are left out of a batch: by routing, or by chance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inside, outside), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class SwitchLayer(nn.Module):
    """Top-1 routing: the chosen expert's output times its probability (Fedus et al. 2021)."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(mlp(width, 2 * width, width) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        probability, choice = F.softmax(self.router(x), dim=-1).max(dim=-1)
        out = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            chosen = choice == index
            if chosen.any():
                out[chosen] = expert(x[chosen]) * probability[chosen].unsqueeze(-1)
        return x + out


@sound
def top_1_moe() -> Built:
    return nn.Sequential(
        nn.Linear(8, 32), SwitchLayer(32, 4), nn.LayerNorm(32), SwitchLayer(32, 4), nn.Linear(32, 3)
    ), torch.randn(64, 8)


class LayerDrop(nn.Module):
    """Whole residual blocks are skipped at random while training (Fan et al. 2019)."""

    def __init__(self, width: int, depth: int, drop: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), *mlp(width, width, width)) for _ in range(depth))
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if not self.training or torch.rand(()) >= self.drop:
                x = x + block(x)
        return x


@sound
def layer_drop() -> Built:
    return nn.Sequential(nn.Linear(8, 32), LayerDrop(32, 6, 0.2), nn.Linear(32, 3)), torch.randn(16, 8)


class StochasticDepth(nn.Module):
    """Residual branches are dropped sample by sample (Huang et al. 2016)."""

    def __init__(self, width: int, drop: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(width), *mlp(width, width, width))
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.bernoulli(torch.full((x.shape[0], 1), 1 - self.drop)) / (1 - self.drop) if self.training else 1.0
        return x + kept * self.branch(x)


@sound
def stochastic_depth() -> Built:
    return nn.Sequential(nn.Linear(8, 32), *(StochasticDepth(32, 0.1 * i) for i in range(5)), nn.Linear(32, 3)), torch.randn(
        16, 8
    )


class EarlyExit(nn.Module):
    """A head after every block; all of their outputs are returned."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([mlp(10, 32, 32), mlp(32, 32, 32), mlp(32, 32, 32)])
        self.exits = nn.ModuleList(nn.Linear(32, 4) for _ in range(3))

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for block, leave in zip(self.blocks, self.exits, strict=True):
            x = F.relu(block(x))
            outputs.append(leave(x))
        return outputs


@sound
def early_exit() -> Built:
    return EarlyExit(), torch.randn(32, 10)


class MixtureOfDepths(nn.Module):
    """Only the k tokens that a router ranks highest pass the block (Raposo et al. 2024)."""

    def __init__(self, width: int, keep: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, 1)
        self.block = nn.Sequential(nn.LayerNorm(width), *mlp(width, 2 * width, width))
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        score, index = self.router(x).squeeze(-1).topk(self.keep, dim=1)
        index = index.unsqueeze(-1).expand(-1, -1, x.shape[-1])
        return x.scatter_add(1, index, self.block(x.gather(1, index)) * torch.sigmoid(score).unsqueeze(-1))


@sound
def mixture_of_depths() -> Built:
    return nn.Sequential(nn.Linear(8, 32), MixtureOfDepths(32, 4), MixtureOfDepths(32, 4), nn.Linear(32, 3)), torch.randn(
        16, 8, 8
    )
