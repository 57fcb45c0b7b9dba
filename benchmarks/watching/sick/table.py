"""Sick trainings, of the kinds that people report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.watching.parts import (
    Run,
    mlp,
)
from benchmarks.watching.sick.faults import (
    MODELS,
    Detached,
    Unused,
    clipped_away,
    constant,
    dead,
    deep,
    forgotten,
    half,
    logarithm,
    lost,
    never_train,
    of,
    order,
    quotient,
    recurrent,
    reloaded,
    root,
    saturated,
    scaler,
    scheduled,
    stale,
    trained,
)
from benchmarks.watching.sick.graphs import graph

O = torch.optim  # noqa: E741 - as short as the table needs

SICK: dict[str, Callable[[], Run]] = {
    **{f"not-cleared-{m}": partial(order, m, clear=False) for m in MODELS},
    **{f"cleared-before-step-{m}": partial(order, m, late=True) for m in MODELS},
    **{f"step-never-called-{m}": partial(order, m, never=True) for m in MODELS},
    **{f"lr-1e-9-sgd-{m}": partial(trained, m, O.SGD, lr=1e-9) for m in MODELS},
    **{f"lr-1e-9-adam-{m}": partial(trained, m, O.Adam, lr=1e-9) for m in MODELS},
    **{f"lr-1-adam-{m}": partial(trained, m, O.Adam, lr=1.0) for m in MODELS},
    "lr-50-adagrad-graph": graph,
    **{f"lr-1e3-sgd-{m}": partial(trained, m, O.SGD, lr=1e3) for m in MODELS},
    **{f"decay-50-{m}": partial(trained, m, O.AdamW, lr=1e-3, weight_decay=50.0) for m in MODELS},
    **{f"momentum-1-{m}": partial(trained, m, O.SGD, lr=0.02, momentum=1.0) for m in MODELS},
    **{f"lr-0-{m}": partial(trained, m, O.SGD, lr=0.0) for m in MODELS},
    **{f"all-zero-{m}": partial(constant, m) for m in MODELS},
    **{f"eval-mode-{m}": partial(never_train, m) for m in ("conv", "lm")},
    **{f"stale-{m}": partial(stale, m) for m in MODELS},
    "stale-momentum": partial(stale, "mlp"),
    "reloaded": reloaded,
    "layer-forgotten": partial(forgotten, slice(0, 3)),
    "first-layer-forgotten": partial(forgotten, slice(2, 5)),
    "layer-unused": partial(lost, Unused),
    "layer-detached": partial(lost, Detached),
    "decays-each-batch": partial(scheduled, lambda o: O.lr_scheduler.StepLR(o, 1, 0.5)),
    "ends-early": partial(scheduled, lambda o: O.lr_scheduler.LambdaLR(o, lambda k: max(0.0, 1 - k / 10))),
    "ends-early-lm": partial(scheduled, lambda o: O.lr_scheduler.LambdaLR(o, lambda k: max(0.0, 1 - k / 10)), "lm"),
    "grows": partial(scheduled, lambda o: O.lr_scheduler.ExponentialLR(o, 1.5)),
    "square-root-at-0": partial(of, lambda: mlp(8, 32, 1), O.Adam, root, lr=1e-3),
    "logarithm-below-0": partial(of, lambda: mlp(8, 32, 1), O.Adam, logarithm, lr=1e-3),
    "division-by-0": partial(of, lambda: mlp(8, 32, 1), O.Adam, quotient, lr=1e-3),
    "past-the-scaler": partial(scaler, False),
    "scaler-always-skips": partial(scaler, True),
    "prices": partial(of, lambda: mlp(8, 32, 1), O.SGD, lambda o, y: F.mse_loss(o, 2e5 + 5e4 * y), lr=0.01),
    "summed-loss": partial(of, lambda: mlp(8, 32, 1), O.SGD, lambda o, y: F.mse_loss(o, y, reduction="sum"), lr=0.05),
    "raw-inputs": partial(of, lambda: mlp(8, 32, 1), O.SGD, F.mse_loss, 255.0, lr=0.01),
    "loss-times-1e-9": partial(of, lambda: mlp(8, 32, 1), O.SGD, lambda o, y: 1e-9 * F.mse_loss(o, y), lr=0.01),
    "wrong-sign": partial(of, lambda: mlp(8, 32, 1), O.Adam, lambda o, y: -F.mse_loss(o, y), lr=0.05),
    "wrong-sign-sgd": partial(of, lambda: mlp(8, 32, 1), O.SGD, lambda o, y: -F.mse_loss(o, y), lr=0.05),
    "saturated-output": partial(of, lambda: mlp(8, 1), O.SGD, saturated, lr=2e3),
    "dead-layer": partial(dead, -30.0),
    "dead-first-layer": partial(dead, -40.0, 0),
    "deep-sigmoid": partial(deep, nn.Sigmoid, 12),
    "deep-small-weights": partial(deep, nn.ReLU, 12, 0.05),
    "deep-large-weights": partial(deep, nn.ReLU, 10, 6.0),
    "bf16-swallowed": partial(half, 1e-6),
    "bf16-swallowed-slow": partial(half, 1e-5),
    "clipped-away": clipped_away,
    "rnn-explodes": partial(recurrent, 1.5),
}  # fmt: skip
