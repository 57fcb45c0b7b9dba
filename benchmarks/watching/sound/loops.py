"""Sound ways to take steps: optimizers, schedules, precision, accumulation, several optimizers or backward passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.watching.parts import (
    Run,
    Tell,
    fit,
    mlp,
    regression,
)

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
