"""Sound models and losses of their own kind: experts, adapters, pruned, frozen, half precision, tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.watching.parts import (
    Conv,
    Run,
    Tell,
    Transformer,
    adding,
    classify,
    digits,
    fit,
    mlp,
    regression,
    tokens,
    usual,
)

O = torch.optim  # noqa: E741 - as short as the table needs


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(10 * x)


class Experts(nn.Module):
    def __init__(self, top: int = 1) -> None:
        super().__init__()
        self.top, self.gate = top, nn.Linear(8, 4)
        self.experts = nn.ModuleList(mlp(8, 16, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, chosen = self.gate(x).softmax(1).topk(self.top)
        out = torch.zeros(len(x), 1)
        for i, expert in enumerate(self.experts):
            rows, place = (chosen == i).nonzero(as_tuple=True)
            if len(rows):
                out = out.index_add(0, rows, weight[rows, place, None] * expert(x[rows]))
        return out


class Lora(nn.Module):
    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a, self.b = (
            nn.Parameter(torch.randn(rank, base.in_features) * 0.1),
            nn.Parameter(torch.zeros(base.out_features, rank)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.base(x) + F.linear(F.linear(x, self.a), self.b)
        return out


def lora() -> Run:
    model = nn.Sequential(Lora(nn.Linear(8, 32)), nn.ReLU(), Lora(nn.Linear(32, 1)))
    return fit(model, O.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3))


def pruned() -> Run:
    from torch.nn.utils import prune

    model = mlp(8, 64, 64, 1)
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", 0.8)
    return fit(model, O.SGD(model.parameters(), lr=0.05))


def simple(model: nn.Module, loss: Callable[[nn.Module, int], torch.Tensor], lr: float = 3e-3) -> Run:
    return usual(model, O.Adam(model.parameters(), lr=lr), lambda k: loss(model, k))


def likelihood(model: nn.Module, k: int) -> torch.Tensor:
    """Negative once it is good: the log of a density."""
    x, y = regression(k)
    mean, log = model(x).chunk(2, 1)
    return F.gaussian_nll_loss(mean, 0.01 * y, log.exp().clamp_min(1e-4))


def triplet(model: nn.Module, k: int) -> torch.Tensor:
    x, y = digits(k)
    out = F.normalize(model(x.flatten(1)))
    return F.triplet_margin_loss(out, out.roll(1, 0), out.roll(2, 0), margin=0.2)


def contrastive(model: nn.Module, k: int) -> torch.Tensor:
    x = regression(k)[0]
    a, b = F.normalize(model(x)), F.normalize(model(x + 0.1 * torch.randn_like(x)))
    return F.cross_entropy(a @ b.T / 0.2, torch.arange(len(x)))


def denoise(model: nn.Module, k: int) -> torch.Tensor:
    x = regression(k)[0]
    t = torch.rand(len(x), 1)
    noise = torch.randn_like(x)
    return F.mse_loss(model(torch.cat((x * (1 - t) + noise * t, t), 1)), noise)


def summed(model: nn.Module, k: int) -> torch.Tensor:
    x, y = adding(k)
    return F.mse_loss(model(x), y)


def copied(model: nn.Module, k: int) -> torch.Tensor:
    ids = tokens(k)
    return F.cross_entropy(model(ids).flatten(0, 1), ids.roll(1, 1).flatten())


def frozen_norm() -> Run:
    model = Conv()
    model.na.eval()
    return classify(model, O.SGD(model.parameters(), lr=0.05, momentum=0.9))


def half() -> Run:
    model = mlp(8, 32, 1).to(torch.bfloat16)

    def loss(k: int) -> torch.Tensor:
        x, y = regression(k)
        return F.mse_loss(model(x.bfloat16()).float(), y)

    return usual(model, O.SGD(model.parameters(), lr=0.05), loss)


def clipped(limit: float) -> Run:
    model = Transformer()
    optimizer = O.AdamW(model.parameters(), lr=2e-3)

    def step(k: int, tell: Tell) -> None:
        optimizer.zero_grad()
        ids = tokens(k)
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        tell(loss)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()

    return model, optimizer, step


def frozen_backbone() -> Run:
    model = mlp(8, 64, 64, 1)
    model[:2].requires_grad_(False)
    return fit(model, O.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3))


def table(sparse: bool) -> Run:
    model = nn.Sequential(nn.Embedding(500, 16, sparse=sparse), nn.Flatten(), nn.Linear(16 * 11, 20))
    groups = [O.SparseAdam(model[0].parameters(), lr=1e-2), O.Adam(model[2].parameters(), lr=3e-3)]

    def step(k: int, tell: Tell) -> None:
        for one in groups:
            one.zero_grad()
        ids = tokens(k)
        loss = F.cross_entropy(model(ids[:, :-1]), ids[:, -1])
        tell(loss)
        loss.backward()
        for one in groups:
            one.step()

    if sparse:
        return model, groups, step
    return usual(
        model, O.Adam(model.parameters(), lr=3e-3), lambda k: F.cross_entropy(model(tokens(k)[:, :-1]), tokens(k)[:, -1])
    )


def made(model: Callable[[], nn.Module], run: Callable[..., Run], make: Callable[..., Any]) -> Run:
    built = model()
    return run(built, make(built.parameters()))
