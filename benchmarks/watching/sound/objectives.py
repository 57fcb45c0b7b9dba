"""Sound objectives of their own kind: adversarial, reinforced, variational, self-supervised, physical."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.watching.parts import (
    Run,
    Tell,
    mlp,
    regression,
    usual,
)

O = torch.optim  # noqa: E741 - as short as the table needs


def gan(kind: str) -> Run:
    g, d = mlp(4, 32, 2), mlp(2, 32, 1, act=nn.LeakyReLU)
    og, od = O.Adam(g.parameters(), lr=1e-3, betas=(0.5, 0.9)), O.Adam(d.parameters(), lr=1e-3, betas=(0.5, 0.9))

    def step(k: int, tell: Tell) -> None:
        gen = torch.Generator().manual_seed(k)
        for _ in range(1 if kind == "gan" else 3):
            real = torch.randn(64, 2, generator=gen) * 0.5 + 1
            fake = g(torch.randn(64, 4, generator=gen))
            od.zero_grad()
            if kind == "gan":
                one = F.softplus(-d(real)).mean() + F.softplus(d(fake.detach())).mean()
            else:
                one = d(fake.detach()).mean() - d(real).mean()
            if kind == "gp":
                mix = (real + fake.detach()).div(2).requires_grad_()
                slope = torch.autograd.grad(d(mix).sum(), mix, create_graph=True)[0]
                one = one + 10 * (slope.norm(dim=1) - 1).square().mean()
            tell(one)
            one.backward()
            od.step()
            if kind == "wgan":
                with torch.no_grad():
                    for p in d.parameters():
                        p.clamp_(-0.1, 0.1)
        og.zero_grad()
        out = d(g(torch.randn(64, 4, generator=gen)))
        two = F.softplus(-out).mean() if kind == "gan" else -out.mean()
        tell(two)
        two.backward()
        og.step()

    return [g, d], [og, od], step


def reinforce(critic: bool) -> Run:
    policy, value = mlp(4, 32, 3), mlp(4, 32, 1)
    both = nn.ModuleList([policy, value])
    optimizer = O.Adam(both.parameters() if critic else policy.parameters(), lr=3e-3)

    def step(k: int, tell: Tell) -> None:
        x = torch.randn(64, 4, generator=torch.Generator().manual_seed(k))
        choice = torch.distributions.Categorical(logits=policy(x))
        action = choice.sample()
        reward = (action == (x[:, 0] > 0).long()).float()
        base = value(x)[:, 0] if critic else torch.full((64,), 0.4)
        loss = -(choice.log_prob(action) * (reward - base.detach())).mean() - 0.01 * choice.entropy().mean()
        if critic:
            loss = loss + F.mse_loss(base, reward)
        tell(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return (both if critic else policy), optimizer, step


def dqn() -> Run:
    online = mlp(4, 32, 2)
    target = copy.deepcopy(online).requires_grad_(False)
    optimizer = O.Adam(online.parameters(), lr=1e-3)

    def loss(k: int) -> torch.Tensor:
        g = torch.Generator().manual_seed(k)
        x, nxt = torch.randn(64, 4, generator=g), torch.randn(64, 4, generator=g)
        a = torch.randint(2, (64,), generator=g)
        reward = (a == (x[:, 0] > 0)).float()
        if k % 10 == 0:
            target.load_state_dict(online.state_dict())
        goal = reward + 0.9 * target(nxt).amax(1)
        return F.smooth_l1_loss(online(x)[torch.arange(64), a], goal)

    return usual(online, optimizer, loss)


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(8, 32, 8), mlp(4, 32, 8)

    def forward(self, x: torch.Tensor, beta: float) -> torch.Tensor:
        mean, log = self.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (log / 2).exp()
        kl = -0.5 * (1 + log - mean.square() - log.exp()).sum(1).mean()
        out: torch.Tensor = F.mse_loss(self.decoder(z), x, reduction="sum") / len(x) + beta * kl
        return out


def vae() -> Run:
    model = Vae()
    return usual(model, O.Adam(model.parameters(), lr=2e-3), lambda k: model(regression(k)[0], min(1.0, k / 40)))


def byol() -> Run:
    online, predictor = mlp(8, 32, 16, norm=True), mlp(16, 16, 16)
    target = copy.deepcopy(online).requires_grad_(False)
    both = nn.ModuleList([online, predictor])

    def loss(k: int) -> torch.Tensor:
        x = regression(k)[0]
        a, b = x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)
        return 2 - 2 * F.cosine_similarity(predictor(online(a)), target(b)).mean()

    def after(_: int) -> None:
        with torch.no_grad():
            for p, q in zip(target.parameters(), online.parameters(), strict=True):
                p.lerp_(q, 0.05)

    return usual(both, O.AdamW(both.parameters(), lr=1e-3), loss, after)


def pinn() -> Run:
    model = mlp(1, 32, 32, 1, act=nn.Tanh)

    def loss(k: int) -> torch.Tensor:
        t = torch.rand(64, 1, generator=torch.Generator().manual_seed(k)).requires_grad_()
        u = model(t)
        slope = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
        return (slope + u).square().mean() + (model(torch.zeros(1, 1)) - 1).square().mean()

    return usual(model, O.Adam(model.parameters(), lr=2e-3), loss)
