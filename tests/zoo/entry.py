"""What a model of the zoo is: a function that builds it with its inputs, and what a health check must say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import nn

Built = tuple[nn.Module, Any]
"""A model, and its inputs: a tensor, a tuple of arguments or a dict of keyword arguments."""


@dataclass(frozen=True)
class Sound:
    """A model that trains: no error, no warning."""

    name: str
    make: Callable[[], Built]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What its author declares: `causal=True`."""

    def build(self, seed: int = 0) -> Built:
        torch.manual_seed(seed)
        return self.make()


@dataclass(frozen=True)
class Sick:
    """A model with one fault: `rule` fires, a place that it names lies at one of `at`, and no other rule reports an error."""

    name: str
    make: Callable[[], Built]
    rule: str
    at: tuple[str, ...]
    """Layers or parameters as in `state_dict`, each a true name of the place; "" is the model itself; none: the whole net."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Further rules that may report an error, and why they are right to."""
    synonyms: Mapping[str, str] = field(default_factory=dict)
    """Rules that may stand for `rule`, and why the fault is theirs as much."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What its author declares: `causal=True`."""
    data: str = ""
    """What of its inputs the fault lies in, so that no made-up batch can show it; "" where it lies in the model."""

    def build(self, seed: int = 0) -> Built:
        torch.manual_seed(seed)
        return self.make()

    def placed(self, names: tuple[str, ...]) -> bool:
        """One of `names` lies at, or inside, one of the expected places."""
        return not self.at or any(name == at or name.startswith(f"{at}.") for name in names for at in self.at)


def sound(make: Callable[[], Built]) -> Sound:
    """Marks a function as an entry of the zoo of sound models."""
    return Sound(make.__name__.replace("_", "-"), make)


def sound_if(**settings: Any) -> Callable[[Callable[[], Built]], Sound]:
    """The same for a model whose author declares something."""
    return lambda make: Sound(make.__name__.replace("_", "-"), make, settings)


def sick(
    rule: str,
    *at: str,
    also: Mapping[str, str] | None = None,
    synonyms: Mapping[str, str] | None = None,
    data: str = "",
    **settings: Any,
) -> Callable[[Callable[[], Built]], Sick]:
    """Marks a function as an entry of the zoo of sick models: the rule that must fire, where, and what is declared."""

    def mark(make: Callable[[], Built]) -> Sick:
        return Sick(make.__name__.replace("_", "-"), make, rule, at, also or {}, synonyms or {}, settings, data)

    return mark


def sound_models(*modules: ModuleType) -> tuple[Sound, ...]:
    """The sound entries that these modules define, in the order of their definition."""
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Sound))


def sick_models(*modules: ModuleType) -> tuple[Sick, ...]:
    """The sick entries that these modules define, in the order of their definition."""
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Sick))
