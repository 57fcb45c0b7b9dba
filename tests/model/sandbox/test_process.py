"""What a whole check puts back, beyond what each of its passes does: replaced functions, loggers, hooks of other tools."""

from __future__ import annotations

import builtins
import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook

from gradcheck_health import check_gradients
from gradcheck_health.formats.terminal import render


class _Does(nn.Module):
    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 4), act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.act()
        out: torch.Tensor = self.fc(x)
        return out


_RELU, _PRINT, _CALL, _SORT = F.relu, builtins.print, nn.Module.__call__, torch.Tensor.sort


@pytest.mark.parametrize(
    ("act", "was"),
    [
        (lambda: setattr(F, "relu", F.gelu), lambda: F.relu is _RELU),
        (lambda: setattr(builtins, "print", len), lambda: builtins.print is _PRINT),
        (lambda: setattr(nn.Module, "__call__", lambda self, x: _CALL(self, x)), lambda: nn.Module.__call__ is _CALL),
        (lambda: setattr(torch.Tensor, "sort", torch.sort), lambda: torch.Tensor.sort is _SORT),
        (lambda: logging.getLogger("mine").setLevel(5), lambda: logging.getLogger("mine").level == 0),
        (lambda: logging.getLogger("mine").addFilter(lambda _: True), lambda: logging.getLogger("mine").filters == []),
    ],
    ids=["functional", "builtins", "call", "tensor", "level", "filter"],
)
def test_what_is_replaced_comes_back(act: Callable[[], Any], was: Callable[[], bool]) -> None:
    logging.getLogger("mine")
    check_gradients(_Does(act), torch.randn(8, 4), rounds=1)
    assert was()


def test_hooks_of_other_tools_on_every_module_stand_still() -> None:
    seen: list[str] = []
    handles = [
        register_module_forward_hook(lambda *_: seen.append("forward")),
        register_module_full_backward_hook(lambda *_: seen.append("backward")),
    ]
    model, x = nn.Linear(4, 2), torch.randn(8, 4, requires_grad=True)
    try:
        check_gradients(model, x, rounds=1)
        assert seen == []
        model(x).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    assert seen == ["forward", "backward"], "or they did not come back"


_SEEN: list[str] = []


def test_what_a_hook_on_a_weight_keeps_is_put_back() -> None:
    model = nn.Linear(4, 2)
    kept: list[torch.Tensor] = []
    model.weight.register_hook(kept.append)
    model.bias.register_hook(lambda _: _SEEN.append("bias"))
    check_gradients(model, torch.randn(8, 4), rounds=1)
    assert (kept, _SEEN) == ([], [])
    model(torch.randn(8, 4)).sum().backward()
    assert (len(kept), _SEEN) == (1, ["bias"]), "or the hooks are gone"


def test_what_cannot_be_put_back_is_named() -> None:
    class Moves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.rows, self.numbers = nn.Linear(4, 2), (i for i in range(1000)), itertools.count()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            next(self.rows), next(self.numbers)
            threading.Thread(target=stop.wait, args=(60,), name="logger", daemon=True).start()
            out: torch.Tensor = self.fc(x)
            return out

    stop = threading.Event()
    report = check_gradients(Moves(), torch.randn(8, 4), rounds=1)
    stop.set()
    said = " | ".join(report.unrestored)
    assert "how far the generator <genexpr> has come (test_process.py:" in said
    assert "how far an iterator has come (count)" in said
    assert "threads that still run (logger" in said
    assert "not restored: " in render(report)
    quiet = check_gradients(nn.Linear(4, 2), torch.randn(8, 4))
    assert quiet.unrestored == ()
    assert "not restored" not in render(quiet)
