"""Fifty steps on models of the sound zoo, towards made-up targets near their own output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.watching.parts import Run, usual
from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.objective import own_loss

MAKERS: dict[str, Callable[..., Any]] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
}


def trained(entry: Any, make: Callable[..., Any]) -> Callable[[], Run]:
    """A run of a zoo model; raises where it cannot be called like this, or has nothing to train."""

    def build() -> Run:
        model, inputs = entry.build()
        args, kwargs = (
            (inputs, {}) if isinstance(inputs, tuple) else ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
        )
        optimizer = make([p for p in model.parameters() if p.requires_grad])
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


def entries() -> dict[str, Callable[[], Run]]:
    from tests.zoo.sound import SOUND

    return {f"{one.name} {name}": trained(one, make) for one in SOUND for name, make in MAKERS.items()}


def runs(model: Callable[[], Run]) -> bool:
    """It can be built and stepped at all."""
    try:
        _, _, step = model()
        step(0, lambda _: None)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not run like this
        return False
    return True
