"""Sound trainings: none may get an error, and at most one in a hundred a warning."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.watching.parts import (
    Conv,
    Recurrent,
    Run,
    Transformer,
    classify,
    cosine,
    digits,
    fit,
    language,
    mlp,
    regression,
    usual,
)
from benchmarks.watching.sound.loops import (
    OPTIMIZERS,
    accumulated,
    amp,
    averaged,
    by_optimizer,
    in_backward,
    lbfgs,
    scheduled,
    sharpness_aware,
    two_backwards,
    two_optimizers,
)
from benchmarks.watching.sound.models import (
    Experts,
    Sine,
    clipped,
    contrastive,
    copied,
    denoise,
    frozen_backbone,
    frozen_norm,
    half,
    likelihood,
    lora,
    made,
    pruned,
    simple,
    summed,
    table,
    triplet,
)
from benchmarks.watching.sound.objectives import byol, dqn, gan, pinn, reinforce, vae

O = torch.optim  # noqa: E741 - as short as the table needs

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
