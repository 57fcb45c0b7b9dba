"""Optimizers that hold the wrong tensors, do not move them, or ruin them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.training.entry import Handed, pair


def _net(inputs: int = 8, outputs: int = 2, width: int = 24) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


def _task(model: nn.Module, optimizer: Any, inputs: int = 8, outputs: int = 2, **more: Any) -> Handed:
    """A regression of moderate size."""
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    x, y = torch.randn(32, inputs, dtype=dtype), torch.randn(32, outputs, dtype=dtype)
    return {"model": model, "inputs": x, "loss": nn.MSELoss(), "targets": y, "optimizer": optimizer, **more}


# parameters that no optimizer holds


@pair("unoptimized-parameter", r"2\.weight")
def head_exchanged_after_the_optimizer(sick: bool) -> Handed:
    model = _net(outputs=5)
    early = torch.optim.SGD(model.parameters(), lr=0.01)
    model[2] = nn.Linear(24, 2)
    return _task(model, early if sick else torch.optim.SGD(model.parameters(), lr=0.01))


@pair("unoptimized-parameter", r"stale")
def weights_initialised_anew_as_parameters(sick: bool) -> Handed:
    model = _net()
    early = torch.optim.Adam(model.parameters(), lr=1e-3)
    for layer in (model[0], model[2]):
        layer.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty_like(layer.weight)))
    return _task(model, early if sick else torch.optim.Adam(model.parameters(), lr=1e-3))


@pair("unoptimized-parameter", r"stale")
def precision_changed_by_new_parameters(sick: bool) -> Handed:
    model = _net()
    early = torch.optim.SGD(model.parameters(), lr=0.1)
    for layer in (model[0], model[2]):
        for name, p in list(layer.named_parameters()):
            setattr(layer, name, nn.Parameter(p.detach().double()))
    return _task(model, early if sick else torch.optim.SGD(model.parameters(), lr=0.1))


class _Adapter(nn.Module):
    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(base.in_features, 4, bias=False)
        self.up = nn.Linear(4, base.out_features, bias=False)
        nn.init.normal_(self.up.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.up(self.down(x))


@pair("unoptimized-parameter", r"down|up")
def adapters_injected_after_the_optimizer(sick: bool) -> Handed:
    model = _net()
    early = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model[0] = _Adapter(model[0])
    return _task(model, early if sick else torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3))


@pair("unoptimized-parameter", r"head")
def only_the_backbone(sick: bool) -> Handed:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = _net(outputs=16), nn.Linear(16, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.backbone(x).relu())

    model = Detector()
    return _task(model, torch.optim.SGD((model.backbone if sick else model).parameters(), lr=0.01))


@pair("unoptimized-parameter", r"scale")
def parameter_added_later(sick: bool) -> Handed:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x) * self.scale

    model = Scaled()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.register_parameter("scale", nn.Parameter(torch.ones(2)))
    if not sick:
        optimizer.add_param_group({"params": [model.scale]})
    return _task(model, optimizer)


@pair("unoptimized-parameter", r"bias")
def groups_that_forget_the_biases(sick: bool) -> Handed:
    model = _net()
    decayed = [p for name, p in model.named_parameters() if name.endswith("weight")]
    rest = [p for name, p in model.named_parameters() if name.endswith("bias")]
    groups = [{"params": decayed, "weight_decay": 0.01}, *([] if sick else [{"params": rest, "weight_decay": 0.0}])]
    return _task(model, torch.optim.AdamW(groups, lr=1e-3))


@pair("unoptimized-parameter", r"decoder")
def two_parts_and_one_of_two_optimizers(sick: bool) -> Handed:
    class Auto(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Linear(8, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.decoder(self.encoder(x).tanh())

    model = Auto()
    first = torch.optim.SGD(model.encoder.parameters(), lr=0.1)
    return _task(model, first if sick else [first, torch.optim.Adam(model.decoder.parameters(), lr=1e-3)])


@pair("unoptimized-parameter", r"stale")
def optimizer_of_a_copy(sick: bool) -> Handed:
    import copy

    model = _net()
    other = copy.deepcopy(model)
    return _task(model, torch.optim.SGD((other if sick else model).parameters(), lr=0.01))


@pair("unoptimized-parameter", r"0\.weight")
def frozen_then_unfrozen(sick: bool) -> Handed:
    model = _net()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    model[0].requires_grad_(True)
    if not sick:
        optimizer.add_param_group({"params": list(model[0].parameters())})
    return _task(model, optimizer)


# half precision weights: nothing moves, or everything breaks


def _half(dtype: torch.dtype, sick: bool, width: int = 48) -> nn.Sequential:
    return _net(width=width).to(dtype if sick else torch.float32)


@pair("ineffective-step", r"bfloat16")
def fine_tuning_in_bfloat16(sick: bool) -> Handed:
    return _task(_half(torch.bfloat16, sick), partial(torch.optim.AdamW, lr=2e-5))


@pair("ineffective-step", r"bfloat16")
def sgd_in_bfloat16(sick: bool) -> Handed:
    return _task(_half(torch.bfloat16, sick), partial(torch.optim.SGD, lr=1e-3))


@pair("ineffective-step", r"bfloat16")
def adapters_in_bfloat16(sick: bool) -> Handed:
    model = nn.Sequential(nn.Linear(8, 64, bias=False), nn.Linear(64, 2, bias=False)).to(
        torch.bfloat16 if sick else torch.float32
    )
    return _task(model, partial(torch.optim.AdamW, lr=5e-5, weight_decay=0.0))


@pair("ineffective-step", r"bfloat16")
def embeddings_in_bfloat16(sick: bool) -> Handed:
    model = nn.Sequential(nn.Embedding(30, 32), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 5))
    model = model.to(torch.bfloat16) if sick else model
    tokens, y = torch.randint(30, (16, 6)), torch.randint(5, (16, 6))
    loss = lambda out: F.cross_entropy(out.flatten(0, 1).float(), y.flatten())  # noqa: E731
    return {"model": model, "inputs": tokens, "loss": loss, "optimizer": partial(torch.optim.AdamW, lr=1e-5)}


@pair("ineffective-step", r"float16")
def large_weights_in_float16(sick: bool) -> Handed:
    model = _half(torch.float16, sick)
    return _task(model, partial(torch.optim.SGD, lr=1e-4))


@pair("ineffective-step", r"bfloat16")
def convolutions_in_bfloat16(sick: bool) -> Handed:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 2))
    model = model.to(torch.bfloat16) if sick else model
    dtype = torch.bfloat16 if sick else torch.float32
    x, y = torch.randn(16, 3, 8, 8, dtype=dtype), torch.randn(16, 2, dtype=dtype)
    return {"model": model, "inputs": x, "loss": nn.MSELoss(), "targets": y, "optimizer": partial(torch.optim.Adam, lr=1e-5)}


def _faint(optimizer: Any, sick: bool, scale: float = 1e-4) -> Handed:
    """Gradients whose squares vanish in float16."""
    dtype = torch.float16 if sick else torch.float32
    model = _net(width=32).to(dtype)
    x, y = torch.randn(32, 8, dtype=dtype), torch.randn(32, 2)
    loss = lambda out: scale * F.mse_loss(out.float(), y)  # noqa: E731
    return {"model": model, "inputs": x, "loss": loss, "optimizer": optimizer}


@pair("nonfinite-update", r"eps")
def adam_in_float16(sick: bool) -> Handed:
    return _faint(partial(torch.optim.Adam, lr=1e-3), sick)


@pair("nonfinite-update", r"eps")
def decayed_adam_in_float16(sick: bool) -> Handed:
    return _faint(partial(torch.optim.AdamW, lr=3e-4, weight_decay=0.1), sick, 3e-4)


@pair("nonfinite-update", r"eps")
def nesterov_adam_in_float16(sick: bool) -> Handed:
    return _faint(partial(torch.optim.NAdam, lr=1e-3), sick)


@pair("nonfinite-update", r"eps")
def rmsprop_in_float16(sick: bool) -> Handed:
    return _faint(partial(torch.optim.RMSprop, lr=1e-3), sick, 1e-3)


@pair("nonfinite-update", r"float16")
def a_rate_that_leaves_the_range(sick: bool) -> Handed:
    model = _net(width=16).to(torch.float16)
    handed = _task(model, partial(torch.optim.SGD, lr=6e4 if sick else 1e-1))
    return {**handed, "loss": lambda out: 10 * F.mse_loss(out.float(), handed["targets"].float()), "targets": None}


# steps without effect


@pair("ineffective-step", r"learning rate")
def learning_rate_of_zero(sick: bool) -> Handed:
    return _task(_net(), partial(torch.optim.Adam, lr=0.0 if sick else 1e-3))


@pair("ineffective-step", r"learning rate")
def decayed_to_nothing(sick: bool) -> Handed:
    model = _net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for group in optimizer.param_groups:
        group["lr"] *= 0.0 if sick else 0.5
    return _task(model, optimizer)


@pair("ineffective-step", r"eps")
def an_eps_that_drowns(sick: bool) -> Handed:
    return _task(_net(), partial(torch.optim.Adam, lr=1e-4, eps=1e6 if sick else 1e-8))


@pair("ineffective-step", r"float32")
def a_rate_below_the_last_digit(sick: bool) -> Handed:
    return _task(_net(), partial(torch.optim.SGD, lr=1e-11 if sick else 1e-2))


class _Restoring(torch.optim.SGD):
    """Writes the weights of a matrix back after its step."""

    def step(self, closure: Any = None) -> Any:
        kept = self.param_groups[0]["params"][0].detach().clone()
        done = super().step(closure)
        with torch.no_grad():
            self.param_groups[0]["params"][0].copy_(kept)
        return done


@pair("ineffective-step", r"0\.weight")
def an_optimizer_that_passes_one_over(sick: bool) -> Handed:
    model = _net()
    return _task(model, (_Restoring if sick else torch.optim.SGD)(model.parameters(), lr=0.5))


# steps that are too large, or too small


@pair("huge-update", r"weight")
def prices_as_they_are(sick: bool) -> Handed:
    prices = 3e5 + 8e4 * torch.randn(32, 2)
    prices = prices if sick else (prices - prices.mean()) / prices.std()
    return {**_task(_net(), partial(torch.optim.SGD, lr=0.01)), "targets": prices}


@pair("huge-update", r"weight")
def pixels_of_0_to_255(sick: bool) -> Handed:
    x = torch.rand(32, 64) * 255
    x = x if sick else (x - 127) / 74
    y = torch.randn(32, 2)
    optimizer = partial(torch.optim.SGD, lr=0.1)
    return {"model": _net(64, 2), "inputs": x, "loss": nn.MSELoss(), "targets": y, "optimizer": optimizer}


@pair("huge-update", r"weight")
def a_sum_over_the_batch(sick: bool) -> Handed:
    x, y = torch.randn(256, 16), torch.randn(256, 8)
    optimizer = partial(torch.optim.SGD, lr=0.05)
    loss = nn.MSELoss(reduction="sum" if sick else "mean")
    return {"model": _net(16, 8), "inputs": x, "loss": loss, "targets": y, "optimizer": optimizer}


@pair("huge-update", r"weight")
def a_rate_of_ten(sick: bool) -> Handed:
    return _task(_net(), partial(torch.optim.SGD, lr=10.0 if sick else 0.1))


@pair("huge-update", r"weight")
def adam_at_one(sick: bool) -> Handed:
    return _task(_net(width=64), partial(torch.optim.Adam, lr=1.0 if sick else 1e-3))


@pair("huge-update", r"weight")
def a_loss_times_ten_thousand(sick: bool) -> Handed:
    y = torch.randn(32, 2)
    loss = lambda out: (1e4 if sick else 1.0) * F.mse_loss(out, y)  # noqa: E731
    x = torch.randn(32, 8)
    return {"model": _net(), "inputs": x, "loss": loss, "optimizer": partial(torch.optim.SGD, lr=0.05, momentum=0.9)}


@pair("tiny-update", r"weight")
def a_rate_of_a_millionth(sick: bool) -> Handed:
    return _task(_net(), partial(torch.optim.SGD, lr=1e-6 if sick else 1e-2))


@pair("tiny-update", r"weight")
def a_loss_divided_twice(sick: bool) -> Handed:
    x, y = torch.randn(128, 16), torch.randn(128, 8)
    loss = lambda out: F.mse_loss(out, y) / (128 * 128 if sick else 1)  # noqa: E731
    return {"model": _net(16, 8), "inputs": x, "loss": loss, "optimizer": partial(torch.optim.SGD, lr=0.01)}


@pair("tiny-update", r"weight")
def adam_at_a_ten_millionth(sick: bool) -> Handed:
    return _task(_net(), partial(torch.optim.Adam, lr=1e-7 if sick else 1e-3))


@pair("tiny-update", r"weight")
def a_mean_over_pixels_that_was_a_sum(sick: bool) -> Handed:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))
    x, y = torch.randn(8, 3, 12, 12), torch.randn(8, 3, 12, 12)
    loss = lambda out: F.mse_loss(out, y) / (12 * 12 * 3 if sick else 1)  # noqa: E731
    return {"model": model, "inputs": x, "loss": loss, "optimizer": partial(torch.optim.SGD, lr=1e-3 if sick else 1e-2)}
