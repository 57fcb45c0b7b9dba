"""Sound trainings: none may get an error, and at most one in a hundred a warning."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.watching.parts import (
    Conv,
    Recurrent,
    Run,
    Tell,
    Transformer,
    adding,
    classify,
    cosine,
    digits,
    fit,
    language,
    mlp,
    regression,
    tokens,
    usual,
)  # fmt: skip

O = torch.optim  # noqa: E741 - as short as the table needs
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": partial(O.SGD, lr=0.05),
    "momentum": partial(O.SGD, lr=0.02, momentum=0.9),
    "nesterov": partial(O.SGD, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": partial(O.Adam, lr=3e-3),
    "adamw": partial(O.AdamW, lr=3e-3, weight_decay=0.05),
    "amsgrad": partial(O.Adam, lr=1e-2, amsgrad=True),
    "adagrad": partial(O.Adagrad, lr=0.05),
    "rmsprop": partial(O.RMSprop, lr=2e-3),
    "rprop": partial(O.Rprop, lr=1e-3),
    "nadam": partial(O.NAdam, lr=3e-3),
    "radam": partial(O.RAdam, lr=1e-2),
    "adamax": partial(O.Adamax, lr=5e-3),
    "adadelta": partial(O.Adadelta, lr=1.0),
    "asgd": partial(O.ASGD, lr=0.05),
    "adafactor": partial(O.Adafactor, lr=1e-2),
    "fused": partial(O.AdamW, lr=3e-3, fused=True),
    "foreach": partial(O.Adam, lr=3e-3, foreach=True),
}


def by_optimizer(make: Callable[..., Any]) -> Run:
    model = mlp(8, 32, 32, 1)
    return fit(model, make(model.parameters()))


def lbfgs(search: str | None) -> Run:
    model = mlp(8, 24, 1, act=nn.Tanh)
    optimizer = O.LBFGS(model.parameters(), lr=1.0 if search else 0.2, max_iter=5, line_search_fn=search)
    x, y = regression(0)

    def step(k: int, tell: Tell) -> None:
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss

        tell(optimizer.step(closure))

    return model, optimizer, step


def scheduled(make: Callable[[Any], Any]) -> Run:
    model = mlp(8, 32, 1)
    optimizer = O.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = make(optimizer)
    return fit(model, optimizer, lambda _: scheduler.step())


def amp(dtype: torch.dtype, *, fused: bool = False, clip: bool = False, scale: float = 65536.0) -> Run:
    model = mlp(8, 32, 32, 1)
    optimizer = O.AdamW(model.parameters(), lr=3e-3, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=dtype is torch.float16)

    def step(k: int, tell: Tell) -> None:
        optimizer.zero_grad()
        x, y = regression(k)
        with torch.autocast("cpu", dtype=dtype):
            loss = F.mse_loss(model(x).float(), y)
        tell(loss)
        scaler.scale(loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()

    return model, optimizer, step


def accumulated() -> Run:
    model = mlp(8, 32, 1)
    optimizer = O.SGD(model.parameters(), lr=0.05)

    def step(k: int, tell: Tell) -> None:
        for part in range(4):
            x, y = regression(4 * k + part)
            loss = F.mse_loss(model(x), y)
            tell(loss)
            (loss / 4).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=bool(k % 2))

    return model, optimizer, step


def sharpness_aware() -> Run:
    model = mlp(8, 32, 1)
    optimizer = O.SGD(model.parameters(), lr=0.05)

    def step(k: int, tell: Tell) -> None:
        x, y = regression(k)
        loss = F.mse_loss(model(x), y)
        tell(loss)
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
        moved = [0.05 * p.grad / norm for p in model.parameters()]
        with torch.no_grad():
            for p, d in zip(model.parameters(), moved, strict=True):
                p += d
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        with torch.no_grad():
            for p, d in zip(model.parameters(), moved, strict=True):
                p -= d
        optimizer.step()
        optimizer.zero_grad()

    return model, optimizer, step


def averaged() -> Run:
    model = mlp(8, 32, 1)
    optimizer = O.SGD(model.parameters(), lr=0.05)
    swa = O.swa_utils.AveragedModel(model)
    return fit(model, optimizer, lambda _: swa.update_parameters(model))


def two_optimizers() -> Run:
    model = mlp(8, 32, 32, 1)
    body, head = O.SGD(model[:2].parameters(), lr=0.05), O.AdamW(model[2:].parameters(), lr=3e-3)

    def step(k: int, tell: Tell) -> None:
        x, y = regression(k)
        body.zero_grad()
        head.zero_grad()
        loss = F.mse_loss(model(x), y)
        tell(loss)
        loss.backward()
        body.step()
        head.step()

    return model, [body, head], step


def two_backwards() -> Run:
    model = mlp(8, 32, 2)
    optimizer = O.Adam(model.parameters(), lr=3e-3)

    def step(k: int, tell: Tell) -> None:
        optimizer.zero_grad()
        x, y = regression(k)
        out = model(x)
        first, second = F.mse_loss(out[:, :1], y), F.l1_loss(out[:, 1:], -y)
        tell(first + second)
        first.backward(retain_graph=True)
        second.backward()
        optimizer.step()

    return model, optimizer, step


def in_backward() -> Run:
    model = mlp(8, 32, 32, 32, 1)
    optimizers = {p: O.SGD([p], lr=0.05) for p in model.parameters()}

    def hook(p: torch.Tensor) -> None:
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(hook)

    def step(k: int, tell: Tell) -> None:
        x, y = regression(k)
        loss = F.mse_loss(model(x), y)
        tell(loss)
        loss.backward()

    return model, list(optimizers.values()), step


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


SOUND: dict[str, Callable[[], Run]] = {
    **{f"mlp-{name}": partial(by_optimizer, make) for name, make in OPTIMIZERS.items()},
    **{f"conv-{name}": partial(made, Conv, classify, OPTIMIZERS[name]) for name in ("momentum", "adam", "adagrad", "rmsprop")},
    **{f"lm-{name}": partial(made, Transformer, language, OPTIMIZERS[name]) for name in ("sgd", "adam", "adamw", "adafactor", "fused")},
    "lbfgs": partial(lbfgs, None),
    "lbfgs-wolfe": partial(lbfgs, "strong_wolfe"),
    "warm-up": partial(scheduled, partial(cosine, warm=20)),
    "cosine": partial(scheduled, partial(cosine, low=0.01)),
    "cosine-to-0": partial(scheduled, cosine),
    "restarts": partial(scheduled, lambda o: O.lr_scheduler.CosineAnnealingWarmRestarts(o, 15)),
    "one-cycle": partial(scheduled, lambda o: O.lr_scheduler.OneCycleLR(o, 0.1, total_steps=70)),
    "linear-to-0": partial(scheduled, lambda o: O.lr_scheduler.LinearLR(o, 1.0, 0.0, 60)),
    "step-decay": partial(scheduled, lambda o: O.lr_scheduler.StepLR(o, 20)),
    "autocast-bf16": partial(amp, torch.bfloat16),
    "autocast-fp16": partial(amp, torch.float16),
    "fp16-overflows-first": partial(amp, torch.float16, scale=2.0**24),
    "fp16-fused": partial(amp, torch.float16, fused=True, scale=2.0**22),
    "fp16-clipped": partial(amp, torch.float16, clip=True),
    "bf16-weights": half,
    "accumulated": accumulated,
    "sam": sharpness_aware,
    "swa": averaged,
    "two-optimizers": two_optimizers,
    "two-backwards": two_backwards,
    "optimizer-in-backward": in_backward,
    "gan": partial(gan, "gan"),
    "wgan": partial(gan, "wgan"),
    "wgan-gp": partial(gan, "gp"),
    "reinforce": partial(reinforce, False),
    "a2c": partial(reinforce, True),
    "dqn": dqn,
    "vae": vae,
    "byol": byol,
    "pinn": pinn,
    "siren": lambda: fit(m := mlp(8, 32, 32, 1, act=Sine), O.Adam(m.parameters(), lr=1e-3)),
    "moe": lambda: fit(m := Experts(2), O.Adam(m.parameters(), lr=3e-3)),
    "moe-top-1": lambda: fit(m := Experts(1), O.Adam(m.parameters(), lr=3e-3)),
    "lora": lora,
    "pruned": pruned,
    "gaussian-likelihood": lambda: simple(mlp(8, 32, 2), likelihood),
    "triplet": lambda: simple(mlp(144, 32, 8), triplet),
    "contrastive": lambda: simple(mlp(8, 32, 8), contrastive),
    "denoising": lambda: simple(mlp(9, 64, 64, 8, act=nn.SiLU), denoise),
    "adding-gru": lambda: simple(Recurrent(nn.GRU), summed),
    "adding-lstm": lambda: simple(Recurrent(nn.LSTM), summed, 1e-2),
    "adding-rnn": lambda: simple(Recurrent(nn.RNN), summed),
    "copy": lambda: simple(Transformer(), copied),
    "frozen-norm": frozen_norm,
    "clipped": partial(clipped, 1.0),
    "clipped-hard": partial(clipped, 0.05),
    "frozen-backbone": frozen_backbone,
    "embedding": partial(table, False),
    "embedding-sparse": partial(table, True),
    "logistic": lambda: usual(m := nn.Linear(144, 10), O.SGD(m.parameters(), lr=0.5), lambda k: F.cross_entropy(m(digits(k)[0].flatten(1)), digits(k)[1])),
    "hinge-to-zero": lambda: usual(m := mlp(8, 32, 1), O.Adam(m.parameters(), lr=1e-2), lambda k: F.relu(1 - m(regression(0)[0]) * regression(0)[0][:, :1].sign()).mean()),
    "converged": lambda: usual(m := nn.Linear(8, 1), O.SGD(m.parameters(), lr=0.1), lambda k: F.mse_loss(m(regression(0)[0]), regression(0)[0][:, :1])),
}  # fmt: skip
