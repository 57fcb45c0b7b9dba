"""Places of activations are told apart, and counted, under a function mode of somebody else as they are without one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gradcheck_health import check_gradients


class HandsOn(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def two_modes() -> Any:
    with HandsOn(), HandsOn():
        yield


MODES = {
    "none": contextlib.nullcontext,
    "a device": lambda: torch.device("cpu"),
    "one that hands on": HandsOn,
    "two of them": two_modes,
}


class Under(nn.Module):
    """A net whose forward runs under a function mode."""

    def __init__(self, mode: Callable[[], Any], body: Callable[[Under, Tensor], Tensor]) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(64, 64), nn.Linear(64, 4)
        self.mode, self.body = mode, body

    def forward(self, x: Tensor) -> Tensor:
        with self.mode():
            return self.body(self, x)


def inverted(net: Under, x: Tensor) -> Tensor:
    return net.leave(F.relu(-F.relu(net.enter(x)) - 0.1))  # type: ignore[no-any-return]


def twice(net: Under, x: Tensor) -> Tensor:
    return net.leave(F.relu(net.enter(F.relu(net.enter(x)))))  # type: ignore[no-any-return]


def in_a_loop(net: Under, x: Tensor) -> Tensor:
    for _ in range(3):
        x = F.relu(net.enter(x))
    return net.leave(x)  # type: ignore[no-any-return]


def checked(mode: str, body: Callable[[Under, Tensor], Tensor]) -> Any:
    torch.manual_seed(0)
    return check_gradients(Under(MODES[mode], body), torch.randn(256, 64), seed=0)


@pytest.mark.parametrize("mode", MODES)
def test_a_dead_activation_on_the_line_of_a_living_one_is_named(mode: str) -> None:
    assert [(finding.rule, finding.names) for finding in checked(mode, inverted).findings] == [("dead-unit", ("enter",))]


@pytest.mark.parametrize("body", [twice, in_a_loop])
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "none"])
def test_places_are_those_that_they_are_without_a_mode(mode: str, body: Callable[[Under, Tensor], Tensor]) -> None:
    plain, under = checked("none", body), checked(mode, body)
    assert [(a.producer, a.samples, a.off) for a in under.trace.activations] == [
        (a.producer, a.samples, a.off) for a in plain.trace.activations
    ]
    assert under.ok
    assert plain.ok
