"""Where torch records or transforms what is computed: supported, or refused with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gradcheck_health import check_gradients
from gradcheck_health.records.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def _checking(x: torch.Tensor) -> torch.Tensor:
    check_gradients(net)
    return x.sum()


class _Checks(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _checking(x)


def _faked() -> None:
    with FakeTensorMode():
        check_gradients(net)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: torch.func.grad(_checking)(torch.ones(3)), r"torch\.func"),
        (lambda: torch.func.vmap(_checking)(torch.ones(3, 2)), r"torch\.func"),
        (lambda: torch.jit.trace(_Checks(), torch.ones(2)), r"torch\.jit\.trace"),
        (_faked, "a FakeTensorMode"),
    ],
    ids=["grad", "vmap", "trace", "fake"],
)
def test_check_inside_of_a_transformation_is_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"cannot run inside of {words}.*: call it outside"):
        call()


@pytest.mark.parametrize("compiled", [torch.jit.script, lambda model: torch.jit.trace(model, torch.ones(2, 4))])
def test_model_that_jit_compiled_is_refused(compiled: Callable[[nn.Module], Any]) -> None:
    with pytest.raises(UsageError, match=r"is compiled by torch\.jit, .*: check the model before that"):
        check_gradients(compiled(net()))


@pytest.mark.slow
def test_graph_of_fx_is_checked() -> None:
    assert check_gradients(torch.fx.symbolic_trace(net())).ok
    exported = torch.export.export(net(), (torch.ones(2, 4),)).module()
    assert check_gradients(exported, torch.randn(2, 4)).ok
