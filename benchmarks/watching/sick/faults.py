"""What can be wrong with a training: its order of calls, its optimizer, its rates, its loss, its weights."""

from __future__ import annotations

from collections.abc import Callable
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
    fit,
    language,
    mlp,
    regression,
    usual,
)

O = torch.optim  # noqa: E741 - as short as the table needs

MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Run]]] = {
    "mlp": (lambda: mlp(8, 32, 32, 1), fit),
    "conv": (Conv, classify),
    "lm": (Transformer, language),
}


def trained(which: str, make: Callable[..., Any], after: Callable[[Any], Any] | None = None, **settings: Any) -> Run:
    """A model with another optimizer than is good for it."""
    build, run = MODELS[which]
    model = build()
    optimizer = make(model.parameters(), **settings)
    return run(model, optimizer, None if after is None else lambda _: after(optimizer))


def order(which: str, *, clear: bool = True, late: bool = False, never: bool = False) -> Run:
    """The calls of a step in another order, or one of them left out."""
    build, run = MODELS[which]
    model = build()
    optimizer = O.SGD(model.parameters(), lr=0.02)
    _, _, whole = run(model, _Nothing(), None)

    def step(k: int, tell: Tell) -> None:
        if clear and not late:
            optimizer.zero_grad()
        whole(k, tell)
        if late:
            optimizer.zero_grad()
        if not never:
            optimizer.step()

    return model, optimizer, step


class _Nothing:
    """Stands where a run expects an optimizer."""

    def zero_grad(self) -> None: ...
    def step(self) -> None: ...


def stale(which: str) -> Run:
    build, run = MODELS[which]
    model = build()
    optimizer = O.SGD(model.parameters(), lr=0.02)
    name = next(reversed([n for n, m in model.named_modules() if isinstance(m, nn.Linear) and "." not in n]))
    old = model.get_submodule(name)
    setattr(model, name, nn.Linear(old.in_features, old.out_features))  # type: ignore[arg-type]
    return run(model, optimizer)


def reloaded() -> Run:
    model = mlp(8, 32, 1)
    optimizer = O.Adam(model.parameters(), lr=3e-3)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return fit(model, optimizer, lambda _: model.load_state_dict(state))


def forgotten(part: slice) -> Run:
    model = mlp(8, 32, 32, 1)
    return fit(model, O.Adam(model[part].parameters(), lr=3e-3))


class Unused(nn.Module):
    """Its second layer is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.c(F.relu(self.a(x)))
        return out


class Detached(Unused):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.c(F.relu(self.b(F.relu(self.a(x)))).detach())
        return out


def lost(kind: type[nn.Module]) -> Run:
    model = kind()
    return fit(model, O.Adam(model.parameters(), lr=3e-3))


def never_train(which: str) -> Run:
    build, run = MODELS[which]
    model = build().eval()
    return run(model, O.Adam(model.parameters(), lr=3e-3))


def with_loss(
    model: nn.Module, optimizer: Any, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], scale: float = 1.0
) -> Run:
    def value(k: int) -> torch.Tensor:
        x, y = regression(k)
        return loss(model(x * scale), y)

    return usual(model, optimizer, value)


def of(
    build: Callable[[], nn.Module],
    make: Callable[..., Any],
    loss: Callable[..., torch.Tensor],
    scale: float = 1.0,
    **settings: Any,
) -> Run:
    model = build()
    return with_loss(model, make(model.parameters(), **settings), loss, scale)


def dead(bias: float, layer: int = 2) -> Run:
    model = mlp(8, 64, 64, 64, 1)
    nn.init.constant_(model[layer].bias, bias)
    return fit(model, O.Adam(model.parameters(), lr=1e-3))


def deep(act: type[nn.Module], depth: int, gain: float = 1.0) -> Run:
    model = mlp(8, *[32] * depth, 1, act=act)
    for m in model:
        if isinstance(m, nn.Linear):
            m.weight.data.mul_(gain)
    return fit(model, O.SGD(model.parameters(), lr=0.01))


def half(lr: float) -> Run:
    model = mlp(8, 32, 32, 1).to(torch.bfloat16)

    def loss(k: int) -> torch.Tensor:
        x, y = regression(k)
        return F.mse_loss(model(x.bfloat16()).float(), y)

    return usual(model, O.SGD(model.parameters(), lr=lr), loss)


def scaler(always: bool) -> Run:
    model = mlp(8, 32, 1)
    optimizer = O.SGD(model.parameters(), lr=0.01)
    grad_scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)

    def step(k: int, tell: Tell) -> None:
        optimizer.zero_grad()
        x, y = regression(k)
        loss = F.mse_loss(model(x), y)
        loss = loss + (model[0].weight.sum() - model[0].weight.sum()).sqrt() if always else loss
        tell(loss)
        grad_scaler.scale(loss).backward()
        if always:
            grad_scaler.step(optimizer)
            grad_scaler.update()
        else:
            optimizer.step()  # past the scaler: the gradients are 65536 times too large
        model.zero_grad()

    return model, optimizer, step


def constant(which: str) -> Run:
    build, run = MODELS[which]
    model = build()
    for p in model.parameters():
        nn.init.constant_(p, 0.0)
    return run(model, O.SGD(model.parameters(), lr=0.05))


def recurrent(gain: float) -> Run:
    model = Recurrent(nn.RNN)
    nn.init.normal_(model.body.weight_hh_l0, std=gain)
    optimizer = O.SGD(model.parameters(), lr=0.5)

    def loss(k: int) -> torch.Tensor:
        x, y = adding(k, length=60)
        return F.mse_loss(model(x), 100 * y, reduction="sum")

    return usual(model, optimizer, loss)


def scheduled(make: Callable[[Any], Any], which: str = "mlp") -> Run:
    build, run = MODELS[which]
    model = build()
    optimizer = O.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = make(optimizer)
    return run(model, optimizer, lambda _: scheduler.step())


def clipped_away() -> Run:
    model = mlp(8, 32, 1)
    optimizer = O.SGD(model.parameters(), lr=1e-3)

    def step(k: int, tell: Tell) -> None:
        optimizer.zero_grad()
        x, y = regression(k)
        loss = F.mse_loss(model(x), y)
        tell(loss)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-4)
        optimizer.step()

    return model, optimizer, step


def root(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out - out.detach()).square().sum().sqrt() + F.mse_loss(out, y)


def logarithm(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -(out - y.amax()).log().mean()


def quotient(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out / (out - out).abs()).mean()


def saturated(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.mse_loss(torch.sigmoid(out), 0.4 + 0.2 * torch.sigmoid(y))
