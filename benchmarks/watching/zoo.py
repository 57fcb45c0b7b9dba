"""Fifty steps on models of the sound zoo, towards made-up targets near their own output."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from benchmarks.watching.parts import Run, usual
from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.objective import own_loss

MAKERS: dict[str, Callable[..., Any]] = {
    "SGD": lambda parameters, share: torch.optim.SGD(parameters, lr=0.01 * share),
    "Adam": lambda parameters, share: torch.optim.Adam(parameters, lr=1e-3 * share),
}
OTHERS = {"tiny-update": (10.0, 100.0)}
"""Shares of the learning rate at which a run is repeated in which a rule found something: larger ones where it calls steps small."""
SMALLER = (0.1, 0.01)
HARMED = 1.5
"""A loss that ends at this multiple of what it ends at with another rate, or above its first, was harmed by the rate."""
LEARNT = 0.01
"""Not so at this share of its first."""


def trained(entry: Any, make: Callable[..., Any]) -> Callable[[float], Run]:
    """A run of a zoo model at a share of the learning rate; raises where it cannot be called like this, or has nothing to train."""

    def build(share: float = 1.0) -> Run:
        model, inputs = entry.build()
        args, kwargs = (
            (inputs, {}) if isinstance(inputs, tuple) else ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
        )
        optimizer = make([p for p in model.parameters() if p.requires_grad], share)
        targets: list[torch.Tensor] = []
        spreads: list[float] = []

        def loss(_: int) -> torch.Tensor:
            found = [leaf for leaf in leaves(model(*args, **kwargs)) if leaf.differentiable]
            own = own_loss(found)
            if own is not None:
                return own.tensor
            outputs = [torch.view_as_real(one.tensor) if one.tensor.is_complex() else one.tensor for one in found]
            if not targets:
                g = torch.Generator().manual_seed(0)
                for one in outputs:
                    spread = float(one.detach().float().std().nan_to_num(1.0)) or 1.0
                    spreads.append(spread)
                    targets.append(one.detach() + 0.5 * spread * torch.randn(one.shape, generator=g).to(one.dtype))
            parts = [
                ((one - aim) / spread).square().mean()
                for one, aim, spread in zip(outputs, targets, spreads, strict=True)
                if one.shape == aim.shape
            ]
            return torch.stack([part.float() for part in parts]).sum()

        return usual(model, optimizer, loss)

    return build


def entries() -> dict[str, Callable[..., Run]]:
    from tests.zoo.sound import SOUND

    return {f"{one.name} {name}": trained(one, make) for one in SOUND for name, make in MAKERS.items()}


def ends(make: Callable[[float], Run], share: float, seed: int, steps: int) -> tuple[float, float]:
    """The first loss of an unwatched run, and the median of its last five; Inf where one of these is not finite."""
    torch.manual_seed(seed)
    _, _, step = make(share)
    losses: list[float] = []
    try:
        for k in range(steps):
            step(k, lambda value: losses.append(float(value)))
    except Exception:  # noqa: BLE001 - some models refuse what has become NaN
        return losses[0], math.inf
    last = sorted(one if math.isfinite(one) else math.inf for one in losses[-5:])
    return losses[0], last[2]


def harmed(make: Callable[[float], Run], rules: Iterable[str], seed: int, steps: int) -> tuple[bool, str]:
    """The loss alone says that the learning rate does harm; and the numbers that say so."""
    shares = {share for rule in rules for share in OTHERS.get(rule, SMALLER)}
    first, end = ends(make, 1.0, seed, steps)
    best = min(ends(make, share, seed, steps)[1] for share in shares)
    bad = end > first or not (end <= best + (HARMED - 1) * abs(best) or 0 <= end < LEARNT * first)
    return bad, f"the loss goes from {first:.3g} to {end:.3g}, with another rate to {best:.3g}"


def runs(model: Callable[[], Run]) -> bool:
    """It can be built and stepped at all."""
    try:
        _, _, step = model()
        step(0, lambda _: None)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not run like this
        return False
    return True
