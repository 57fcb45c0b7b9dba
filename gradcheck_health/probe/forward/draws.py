"""Draws from distributions whose parameters have a gradient, and that hand none of it back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import torch
from torch.distributions import Distribution

from gradcheck_health.model.source.frames import receiver

DRAWS: frozenset[Any] = frozenset(
    {
        torch.normal,
        torch.rand,
        torch._standard_gamma,
        torch._sample_dirichlet,
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        torch.Tensor.exponential_,
    }
)
"""What the distributions of torch draw with, where a reparametrisation is known."""
_DEEP = 16
"""Frames between a draw and the `sample` that asked for it, at most."""


def lost_draw(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """What draws here from something that has a gradient, and hands none back; "" where nothing does.

    `Normal.sample` or the like, where there is an `rsample()`; or "normal", of `torch.normal(mean, std)`.
    """
    if torch.is_grad_enabled():
        return "normal" if func is torch.normal and any(map(_learnt, (*args, *kwargs.values()))) else ""
    asked = list(calls_of("sample"))
    return f"{type(asked[-1]).__name__}.sample" if any(map(_from_learnt, asked)) else ""


def with_gradient(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What this call gives where a draw hands its gradient back; NotImplemented where it stays as it is.

    `sample` does what `rsample` does, with its gradients on; `torch.normal(mean, std)` is mean + std * noise. The values are
    the same (Kingma and Welling 2014).
    """
    if func is torch._C._set_grad_enabled:
        return None if args[0] is False and any(one.has_rsample for one in calls_of("sample")) else NotImplemented
    lost = func is torch.normal and lost_draw(func, args, kwargs)
    return _shifted_noise(*args, **kwargs) if lost else NotImplemented


def _shifted_noise(mean: Any, std: Any = 1.0, **options: Any) -> torch.Tensor:
    still = [one.detach() if isinstance(one, torch.Tensor) else one for one in (mean, std)]
    noise = torch.normal(*still, **options).sub_(still[0]).div_(still[1]).nan_to_num_(0.0, 0.0, 0.0)
    result: torch.Tensor = mean + std * noise
    return result


def calls_of(method: str) -> Iterator[Distribution]:
    """The distributions whose method this is called from, the innermost first."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_DEEP):
        if frame is None:
            return
        if frame.f_code.co_name == method and "distributions" in frame.f_code.co_filename.split(os.sep):
            owner = receiver(frame)
            if isinstance(owner, Distribution):
                yield owner
        frame = frame.f_back


def _from_learnt(distribution: Distribution) -> bool:
    return bool(distribution.has_rsample) and any(map(_learnt, vars(distribution).values()))


def _learnt(value: Any) -> bool:
    """A tensor with a gradient, or a distribution or transforms that hold one."""
    if isinstance(value, torch.Tensor):
        return value.requires_grad
    if isinstance(value, Distribution | torch.distributions.Transform):
        return any(map(_learnt, vars(value).values()))
    return isinstance(value, list) and any(map(_learnt, value))
