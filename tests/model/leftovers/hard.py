"""Models that change more than their output while they run; on each some way of putting things back fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Hard:
    """One of them."""

    name: str
    make: Callable[[], nn.Module]
    batch: Callable[[], torch.Tensor]
    watched: tuple[Any, ...] = ()
    """Objects that it changes and does not hold."""
    beyond: str = ""
    """Why it cannot be put back in this process."""

    def build(self) -> tuple[nn.Module, torch.Tensor]:
        """The same at every call."""
        torch.manual_seed(0)
        return self.make(), self.batch()


def rows() -> torch.Tensor:
    """The batch of most: float32[6, 4]."""
    return torch.randn(6, 4)


def hard(make: Callable[[], nn.Module]) -> Hard:
    """Marks a class or function without arguments."""
    return Hard(_name(make), make, rows)


def hard_if(**about: Any) -> Callable[[Callable[[], nn.Module]], Hard]:
    """The same with another batch, or with what it changes outside of itself."""
    return lambda make: Hard(_name(make), make, **{"batch": rows, **about})


def _name(make: Callable[[], nn.Module]) -> str:
    return re.sub(r"(?<=[a-zA-Z])(?=[A-Z])|_", "-", make.__name__).lower()


def hard_models(*modules: ModuleType) -> tuple[Hard, ...]:
    """The entries of these modules, in the order of their definition."""
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Hard))


class Lined(nn.Module):
    """A linear layer of four features, before which a subclass does what it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.setup()

    def setup(self) -> None:
        """Attributes of the subclass."""

    def act(self, x: torch.Tensor) -> torch.Tensor | None:
        """What it does at every call; returns another tensor to go on with, or None."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        changed = self.act(x)
        out: torch.Tensor = self.fc(x if changed is None else changed)
        return out.relu()
