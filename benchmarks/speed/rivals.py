"""Other tools on the same sound models, in the same turns, where they do the same work: look at the gradients of a step."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.comparison import tools
from benchmarks.speed.clock import ratio, turns
from benchmarks.speed.ratios import step, subject_of
from benchmarks.speed.sound import SOUND, TINY
from gradcheck_health.model.sandbox import sandbox

TOOLS: dict[str, tuple[str, Callable[..., Any]]] = {
    "gradcheck_health": ("gradcheck_health", tools.gradcheck_health),
    "torchtest2": ("torchtest2", tools.torchtest2),
    "pytest-torch": ("pytest_torch", tools.pytest_torch),
    "torch-audit": ("torch_audit", tools.torch_audit),
    "torchlens": ("torchlens", tools.torchlens),
}
"""Name -> (package, how it is used: see benchmarks/comparison/tools.py)."""


def rivals(turns_each: int) -> list[dict[str, Any]]:
    """Multiples of the bare step; None where a tool is not installed or raised."""
    here = {name: tool for name, (package, tool) in TOOLS.items() if importlib.util.find_spec(package) is not None}
    rows = []
    for name, build in {**TINY, **SOUND}.items():
        torch.manual_seed(0)
        model, x = build()
        subject = subject_of(model, x)
        runs: dict[str, Callable[[], Any]] = {"bare": lambda subject=subject: step(subject)}
        runs |= {key: _run(tool, model, x) for key, tool in here.items() if _works(tool, model, x)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            timed = turns(runs, turns_each, warm=1, settle=_untouched(model, runs["bare"]))
        rows.append({"model": name, **{key: ratio(timed, key) if key in runs else None for key in TOOLS}})
        print(rows[-1], flush=True)
    return rows


def _untouched(model: nn.Module, step: Callable[[], Any]) -> Callable[[], None]:
    """Puts back what other tools change of the weights (some train the model), and takes a bare step."""
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def settle() -> None:
        model.load_state_dict(before)
        step()

    return settle


def _run(tool: Callable[..., Any], model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            list(tool(model, x, {}))

    return run


def _works(tool: Callable[..., Any], model: nn.Module, x: torch.Tensor) -> bool:
    """Once, with whatever it does to the model undone."""
    try:
        with warnings.catch_warnings(), sandbox(model):
            warnings.simplefilter("ignore")
            _run(tool, model, x)()
    except Exception:  # noqa: BLE001 - other people's tools
        return False
    return True
