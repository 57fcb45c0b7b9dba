"""Whether a net learns: several initialisations under several learning rates, trained side by side. Knows nothing of the package."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from benchmarks.outcomes.nets import FEATURES, STEPS_BACK

ROWS, STEPS, LEARNT = 64, 300, 0.5
"""Samples, steps, and the share of the constant predictor's loss at which a task counts as learnt."""
RATES = {"sgd": ((0.3, 0.1, 0.03, 0.01, 0.001), (3.0, 1.0, 1e-4, 1e-5)), "adam": ((0.01, 0.003, 0.001, 0.0003),)}
"""The second group is tried where none of the first will do for most initialisations."""
BATCHES = 32
SHAPES = {"vector": (FEATURES,), "image": (3, 6, 6), "tokens": (6, FEATURES), "recall": (STEPS_BACK, FEATURES)}

Tensors = dict[str, torch.Tensor]


def batch(task: str, seed: int, rows: int = ROWS) -> torch.Tensor:
    return torch.randn(rows, *SHAPES[task], generator=torch.Generator().manual_seed(seed))


def targets(task: str, x: torch.Tensor) -> torch.Tensor:
    """A teacher's answer, standardised: a constant predictor's loss is 1. A recurrence has to recall a number of its first step."""
    if task == "recall":
        return x[:, 0, :1]
    generator = torch.Generator().manual_seed(1)
    seen = x.flatten(2).mean(2) * 6 if task == "image" else x
    seen = seen.mean(1) * math.sqrt(seen.shape[1]) if task == "tokens" else seen
    hidden = torch.tanh(seen @ torch.randn(seen.shape[1], 32, generator=generator) / math.sqrt(seen.shape[1]))
    y = hidden @ torch.randn(32, 1, generator=generator)
    return (y - y.mean()) / y.std()


def learns(build: Callable[[], nn.Module], task: str, optimizer: str, seeds: int) -> list[bool]:
    """Per initialisation: does the loss halve within 300 steps, at the best of the learning rates?"""
    done = [False] * seeds
    for rates in RATES[optimizer]:
        if 2 * sum(done) <= seeds:
            done = [any(pair) for pair in zip(done, _trained(build, task, rates, optimizer, seeds), strict=True)]
    return done


def _trained(build: Callable[[], nn.Module], task: str, rates: tuple[float, ...], optimizer: str, seeds: int) -> list[bool]:
    # a recurrence could learn one batch by heart from its last steps: it gets others, and is judged by one that it never saw
    batches = [batch(task, seed=k) for k in range(BATCHES if task == "recall" else 1)]
    held_out = batch(task, seed=-1, rows=4 * ROWS) if task == "recall" else None
    models = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = build()
        models += [model] * len(rates)
    values, buffers = stack_module_state(models)
    base = copy.deepcopy(models[0]).to("meta")

    def loss(p: Tensors, b: Tensors, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(functional_call(base, (p, b), (x,)), y)

    step, look = (vmap(call, in_dims=(0, 0, None, None)) for call in (grad_and_value(loss), loss))
    weights: Tensors = {name: value.detach() for name, value in values.items()}
    rate = torch.tensor(rates).repeat(seeds)
    moments: list[Tensors] = [{name: torch.zeros_like(value) for name, value in weights.items()} for _ in range(2)]
    done = torch.zeros(seeds, dtype=torch.bool)
    for k in range(1, STEPS + 1):
        x = batches[k % len(batches)]
        gradients, losses = step(weights, buffers, x, targets(task, x))
        if held_out is not None:
            if k % 10:
                losses = torch.full_like(losses, math.nan)
            else:
                losses = look(weights, buffers, held_out, targets(task, held_out))
        done |= (losses.view(seeds, -1).nan_to_num(math.inf) < LEARNT).any(1)
        if bool(done.all()):
            break
        (_sgd if optimizer == "sgd" else _adam)(weights, gradients, moments, rate, k)
    found: list[bool] = done.tolist()
    return found


def _wide(rate: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return rate.view(-1, *[1] * (like.dim() - 1))


def _sgd(weights: Tensors, gradients: Tensors, moments: list[Tensors], rate: torch.Tensor, k: int) -> None:
    """With momentum, as torch's own."""
    for name, gradient in gradients.items():
        moments[0][name].mul_(0.9).add_(gradient)
        weights[name].sub_(_wide(rate, gradient) * moments[0][name])


def _adam(weights: Tensors, gradients: Tensors, moments: list[Tensors], rate: torch.Tensor, k: int) -> None:
    for name, gradient in gradients.items():
        mean, square = moments[0][name].lerp_(gradient, 0.1), moments[1][name].lerp_(gradient.square(), 0.001)
        scale = (square / (1 - 0.999**k)).sqrt_().add_(1e-8)
        weights[name].sub_(_wide(rate, gradient) * mean / (1 - 0.9**k) / scale)
