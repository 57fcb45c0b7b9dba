"""Training steps of somebody's own whose order, or whose arithmetic, is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.training.entry import Handed, pair


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))


def _data(n: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 8), torch.randn(n, 1)


def _handed(step: Callable[..., Any], model: nn.Module, optimizer: Any, **more: Any) -> Handed:
    return {"step": step, "model": model, "optimizer": optimizer, **more}


def _sgd(model: nn.Module, lr: float = 0.05) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


# where gradients are clipped


@pair("misplaced-clipping", r"before backward")
def clipped_before_backward(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        if sick:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        loss.backward()
        if not sick:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("misplaced-clipping", r"after the step")
def clipped_after_the_step(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        if not sick:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if sick:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)

    return _handed(step, model, optimizer)


@pair("misplaced-clipping", r"before backward")
def clipped_together_before_backward(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(batch: tuple[torch.Tensor, torch.Tensor]) -> float:
        loss = F.mse_loss(model(batch[0]), batch[1])
        optimizer.zero_grad(set_to_none=False)
        if sick:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1, norm_type=float("inf"))
        loss.backward()
        if not sick:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1, norm_type=float("inf"))
        optimizer.step()
        return loss.item()

    return _handed(step, model, optimizer, batches=[(x, y)])


def _scaled(sick: bool, value: bool, accumulate: int = 1, adam: bool = False) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3) if adam else _sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def clip() -> None:
        if value:
            nn.utils.clip_grad_value_(model.parameters(), 0.5)
        else:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    def step() -> None:
        optimizer.zero_grad()
        for _ in range(accumulate):
            loss = F.mse_loss(model(x), y) / accumulate
            scaler.scale(loss).backward()
        if not sick:
            scaler.unscale_(optimizer)
        clip()
        scaler.step(optimizer)
        scaler.update()

    return _handed(step, model, optimizer, scaler=scaler)


@pair("misplaced-clipping", r"unscale")
def clipped_before_unscaling(sick: bool) -> Handed:
    return _scaled(sick, value=False)


@pair("misplaced-clipping", r"unscale")
def clipped_values_before_unscaling(sick: bool) -> Handed:
    return _scaled(sick, value=True)


@pair("misplaced-clipping", r"unscale")
def clipped_before_unscaling_with_accumulation(sick: bool) -> Handed:
    return _scaled(sick, value=False, accumulate=3)


@pair("misplaced-clipping", r"unscale")
def clipped_before_unscaling_under_adam(sick: bool) -> Handed:
    return _scaled(sick, value=False, adam=True)


@pair("misplaced-clipping", r"unscale")
def unscaled_too_late(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)

    def step() -> None:
        optimizer.zero_grad()
        scaler.scale(F.mse_loss(model(x), y)).backward()
        if sick:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.unscale_(optimizer)
        if not sick:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

    return _handed(step, model, optimizer, scaler=scaler)


@pair("misplaced-clipping", r"before backward|after the step")
def clamped_by_hand_too_early(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def clamp() -> None:
        for p in model.parameters():
            if p.grad is not None:
                p.grad.clamp_(-0.1, 0.1)

    def step() -> None:
        if sick:
            clamp()
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        if not sick:
            clamp()
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("ineffective-clipping", r"never")
def clipped_at_a_million(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e6 if sick else 1.0)
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("ineffective-clipping", r"every step")
def clipped_at_a_millionth(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1e-6 if sick else 0.5)
        optimizer.step()

    return _handed(step, model, optimizer)


# gradients that nobody clears


@pair("uncleared-gradient", r"used already")
def zero_grad_forgotten(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        if not sick:
            optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("uncleared-gradient", r"used already")
def the_wrong_optimizer_is_cleared(sick: bool) -> Handed:
    model, other, (x, y) = _net(), _net(), _data()
    optimizer, unused = _sgd(model), _sgd(other)

    def step() -> None:
        (unused if sick else optimizer).zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("uncleared-gradient", r"used already")
def cleared_once_an_epoch(sick: bool) -> Handed:
    model = _net()
    optimizer = _sgd(model)

    def epoch(_: Any = None) -> None:
        optimizer.zero_grad()
        for _ in range(3):
            x, y = _data()
            if not sick:
                optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()

    return _handed(epoch, model, optimizer)


@pair("uncleared-gradient", r"used already")
def accumulated_and_never_cleared(sick: bool) -> Handed:
    model = _net()
    optimizer = _sgd(model)
    count = [0]

    def step() -> None:
        x, y = _data()
        (F.mse_loss(model(x), y) / 2).backward()
        count[0] += 1
        if count[0] % 2 == 0:
            optimizer.step()
            if not sick:
                optimizer.zero_grad()

    return _handed(step, model, optimizer)


@pair("uncleared-gradient", r"used already")
def discriminator_that_keeps_the_generators(sick: bool) -> Handed:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.make, self.judge = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(), nn.Linear(16, 1))

    model, (x, _) = Both(), _data()
    of_make = torch.optim.Adam(model.make.parameters(), lr=2e-4)
    of_judge = torch.optim.Adam(model.judge.parameters(), lr=2e-4)

    def step() -> None:
        z = torch.randn(16, 4)
        if not sick:
            of_judge.zero_grad()
        (F.softplus(-model.judge(x)).mean() + F.softplus(model.judge(model.make(z).detach())).mean()).backward()
        of_judge.step()
        of_make.zero_grad()
        F.softplus(-model.judge(model.make(z))).mean().backward()
        of_make.step()

    return _handed(step, model, [of_make, of_judge])


# gradients of several batches


def _gathered(
    sick: bool, loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], parts: int = 4, adam: bool = False
) -> Handed:
    model, (x, y) = _net(), _data(32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3) if adam else _sgd(model, 0.01)

    def step() -> None:
        optimizer.zero_grad()
        for a, b in zip(x.chunk(parts), y.chunk(parts), strict=True):
            loss = loss_of(model(a), b)
            if not sick:
                loss = loss / parts
            loss.backward()
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("unscaled-accumulation", r"4 x")
def four_parts_of_a_batch(sick: bool) -> Handed:
    return _gathered(sick, F.mse_loss)


@pair("unscaled-accumulation", r"8 x")
def eight_parts_of_a_batch(sick: bool) -> Handed:
    return _gathered(sick, F.smooth_l1_loss, parts=8)


@pair("unscaled-accumulation", r"2 x")
def two_parts_with_a_mean_by_hand(sick: bool) -> Handed:
    return _gathered(sick, lambda a, b: (a - b).abs().mean(), parts=2)


@pair("unscaled-accumulation", r"4 x")
def parts_under_adam(sick: bool) -> Handed:
    return _gathered(sick, F.huber_loss, adam=True)


@pair("unscaled-accumulation", r"3 x")
def gathered_over_calls(sick: bool) -> Handed:
    model = _net()
    optimizer = _sgd(model, 0.01)
    count = [0]

    def step(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        loss = F.mse_loss(model(batch[0]), batch[1])
        (loss if sick else loss / 3).backward()
        count[0] += 1
        if count[0] % 3 == 0:
            optimizer.step()
            optimizer.zero_grad()

    return _handed(step, model, optimizer, batches=[_data() for _ in range(3)])


@pair("unscaled-accumulation", r"4 x")
def classes_gathered_with_a_scaler(sick: bool) -> Handed:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    optimizer = _sgd(model, 0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    batches = [(torch.randn(8, 8), torch.randint(4, (8,))) for _ in range(4)]

    def step() -> None:
        optimizer.zero_grad()
        for x, y in batches:
            loss = F.cross_entropy(model(x), y) * (1.0 if sick else 0.25)
            scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return _handed(step, model, optimizer, scaler=scaler)


# steps that train nothing


@pair("ineffective-step", r"no step")
def step_forgotten(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        if not sick:
            optimizer.step()

    return _handed(step, model, optimizer)


@pair("ineffective-step", r"no step")
def step_without_parentheses(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step if sick else optimizer.step()

    return _handed(step, model, optimizer)


@pair("ineffective-step", r"cleared between")
def cleared_before_the_step(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        if not sick:
            optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        if sick:
            optimizer.zero_grad(set_to_none=False)
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("ineffective-step", r"no backward")
def backward_forgotten(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)

    def step() -> None:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        if not sick:
            loss.backward()
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("ineffective-step", r"scaler skipped")
def overflow_at_every_step(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)
    scaler = torch.amp.GradScaler("cpu")

    def step() -> None:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss = (loss.half() * 6e4 * 6e4).float() if sick else loss
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return _handed(step, model, optimizer, scaler=scaler)


@pair("unoptimized-parameter", r"weight")
def stepped_on_a_stale_optimizer(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)
    if sick:
        model[2] = nn.Linear(16, 1)

    def step() -> None:
        model.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()

    return _handed(step, model, optimizer)


@pair("ineffective-step", r"no step")
def scheduler_in_the_place_of_the_step(sick: bool) -> Handed:
    model, (x, y) = _net(), _data()
    optimizer = _sgd(model)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        if not sick:
            optimizer.step()
        scheduler.step()

    return _handed(step, model, optimizer, scheduler=scheduler)
