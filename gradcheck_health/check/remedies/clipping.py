"""Gradient clipping and weight decay, which change no model: answers that only a run can give.

For an explosion that lies in the weights clipping is no cure: it touches every step, and is a learning rate in disguise.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import nn

from gradcheck_health.check.remedies.short_run import Clip, Touched, short_run
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.remedies import NO_HELP, TRAINS, RemedyTrial, ShortRun

_BETTER = 0.9
"""Of the loss without it: from there on a run is better."""
_LEARNS = 0.5
"""Of the constant predictor's loss, or of the first: what stays above it has not learnt."""
_DISGUISE, _OFTEN = 0.99, 0.5
"""Shares of the steps: touched from there on it is a learning rate; more than half of them is no clipping either."""
_DECAY = 0.1


def by_norm(limit: float) -> Clip:
    """Pascanu et al. 2013: the norm of all gradients together is brought down to the limit."""

    def clip(parameters: list[nn.Parameter], lr: float) -> Touched:
        total = float(nn.utils.clip_grad_norm_(parameters, limit))
        return Touched(float(not total <= limit), limit)

    return clip


def by_value(limit: float) -> Clip:
    """Every entry is brought into -limit to limit."""

    def clip(parameters: list[nn.Parameter], lr: float) -> Touched:
        over = sum(int((p.grad.abs() > limit).sum()) for p in parameters if p.grad is not None)
        nn.utils.clip_grad_value_(parameters, limit)
        return Touched(over / max(sum(p.numel() for p in parameters), 1), limit)

    return clip


def adaptive(limit: float) -> Clip:
    """Brock et al. 2021 (AGC): the gradient of each unit is at most so large beside its weight."""

    @torch.no_grad()
    def clip(parameters: list[nn.Parameter], lr: float) -> Touched:
        over = 0
        for p in parameters:
            if p.grad is None or p.dim() < 2:
                continue
            axes = tuple(range(1, p.dim()))
            allowed = limit * p.detach().norm(dim=axes, keepdim=True).clamp(min=1e-3)
            size = p.grad.norm(dim=axes, keepdim=True)
            over += int((size > allowed).sum()) * p[0].numel()
            p.grad.mul_((allowed / size.clamp(min=1e-12)).clamp(max=1.0))
        return Touched(over / max(sum(p.numel() for p in parameters), 1), limit)

    return clip


CLIPS = {
    "clip-norm": (by_norm(1.0), "nn.utils.clip_grad_norm_(model.parameters(), 1.0) before optimizer.step()"),
    "clip-value": (by_value(0.1), "nn.utils.clip_grad_value_(model.parameters(), 0.1) before optimizer.step()"),
    "clip-adaptive": (adaptive(0.02), "adaptive gradient clipping (AGC) at 0.02 before optimizer.step()"),
}


def run_answers(subject: Subject, base: RemedyTrial, plain: ShortRun, optimizer: str) -> list[RemedyTrial]:
    """Each clip, and weight decay, in a run as long as the one without it."""
    found = []
    for name, (clip, what) in CLIPS.items():
        with sandbox(subject.model, process=False):
            run = short_run(subject, plain.steps, optimizer, clip)
        if run is not None:
            found.append(_judged(dataclasses.replace(base, remedy=name, change=what, run=run), run, plain))
    with sandbox(subject.model, process=False):
        decayed = short_run(subject, plain.steps, optimizer, weight_decay=_DECAY)
    if decayed is not None:
        what = f"weight_decay={_DECAY:g} in the optimizer (decoupled, as in AdamW)"
        found.append(_judged(dataclasses.replace(base, remedy="weight-decay", change=what, run=decayed), decayed, plain))
    return found


def _judged(trial: RemedyTrial, run: ShortRun, plain: ShortRun) -> RemedyTrial:
    better = math.isfinite(run.last) and run.last < _BETTER * plain.last and run.share < _LEARNS
    clipping = run.clipping
    why = f"the loss ends at {run.last:.3g}, without it at {plain.last:.3g}"
    if clipping is not None:
        why += f"; it touches {clipping.steps:.0%} of the steps and {clipping.elements:.0%} of the entries"
        if clipping.steps >= _DISGUISE:
            return dataclasses.replace(trial, outcome=NO_HELP, why=f"{why}: a learning rate in disguise")
        better = better and clipping.steps < _OFTEN
    return dataclasses.replace(trial, outcome=TRAINS if better else NO_HELP, why=why)
