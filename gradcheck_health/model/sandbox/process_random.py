"""The random generators of the process: (read, put back)."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import torch


def _numpy() -> Any:
    module = sys.modules.get("numpy.random")  # where nobody imported it, nobody can draw from it
    return None if module is None else module.get_state()


def _set_numpy(state: Any) -> None:
    if state is not None:
        sys.modules["numpy.random"].set_state(state)


def _accelerator() -> Any:
    initialized: bool = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if initialized else None


def _set_accelerator(states: Any) -> None:
    if states is not None:
        torch.cuda.set_rng_state_all(states)


GENERATORS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (random.getstate, random.setstate),
    (_numpy, _set_numpy),
    (torch.get_rng_state, torch.set_rng_state),
    (_accelerator, _set_accelerator),
)
