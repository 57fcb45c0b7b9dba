"""Hard models that change settings of the process while they run, and do not put them back."""

from __future__ import annotations

import decimal
import gc
import locale
import logging
import os
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import Any

import numpy
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from tests.model.leftovers.hard import Hard, Lined, rows

_HELD: list[Any] = []
"""Modes that are entered and never left."""


class Switching(Lined):
    """Calls `switch` at the end of every forward pass."""

    switch: Callable[[], Any]

    def __init__(self, switch: Callable[[], Any]) -> None:
        super().__init__()
        self.switch = switch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = super().forward(x)
        self.switch()
        return out


class _Nothing(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


def _enter(mode: Any) -> None:
    mode.__enter__()
    _HELD.append(mode)


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


SWITCHES: dict[str, Callable[[], Any]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "grad mode": lambda: torch._C._set_grad_enabled(False),
    "autocast": lambda: (torch.set_autocast_enabled("cpu", True), torch.set_autocast_dtype("cpu", torch.float16)),
    "autocast cache": lambda: torch.set_autocast_cache_enabled(False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "uninitialized memory": lambda: _replace(torch.utils.deterministic, "fill_uninitialized_memory", False),
    "seeds": lambda: (torch.manual_seed(5), random.seed(5), numpy.random.seed(5)),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() % 3 + 1),
    "multithreading of backward": lambda: torch._C._set_multithreading_enabled(False),
    "cudnn": lambda: (
        _replace(torch.backends.cudnn, "benchmark", True),
        _replace(torch.backends.cudnn, "deterministic", True),
        _replace(torch.backends.cudnn, "allow_tf32", False),
    ),
    "matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "onednn": lambda: _replace(torch.backends.mkldnn, "enabled", False),
    "einsum": lambda: _replace(torch.backends.opt_einsum, "enabled", not torch.backends.opt_einsum.enabled),
    "denormal numbers": lambda: torch.set_flush_denormal(5e-324 * float("1") != 0.0),
    "print options": lambda: torch.set_printoptions(precision=2, sci_mode=True),
    "warn always": lambda: torch.set_warn_always(True),
    "parametrize cache": lambda: _enter(parametrize.cached()),
    "function mode": lambda: _enter(_Nothing()),
    "saved tensors": lambda: _enter(torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)),
    "hook of every module": lambda: nn.modules.module.register_module_forward_hook(lambda *_: None),
    "warning filters": lambda: warnings.simplefilter("ignore", BytesWarning),
    "filters replaced": lambda: _replace(warnings, "filters", [*warnings.filters]),
    "showwarning": lambda: _replace(warnings, "showwarning", lambda *_: None),
    "cwd": lambda: os.chdir(tempfile.gettempdir()),
    "environ": lambda: os.environ.update(GRADHEALTH_HARD="1"),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "path replaced": lambda: _replace(sys, "path", [*sys.path, "/nowhere"]),
    "sys.argv": lambda: sys.argv.append("--more"),
    "recursion limit": lambda: sys.setrecursionlimit(5000),
    "stdout": lambda: _replace(sys, "stdout", StringIO()),
    "excepthook": lambda: _replace(sys, "excepthook", lambda *_: None),
    "signal handler": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "interrupts": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "umask": lambda: os.umask(0o77),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C"),
    "logging": lambda: (logging.disable(logging.ERROR), logging.getLogger().setLevel(logging.ERROR)),
    "log handler": lambda: logging.getLogger().addHandler(logging.NullHandler()),
    "alarm": lambda: signal.alarm(1000),
    "child signals": lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    "switch interval": lambda: sys.setswitchinterval(0.1),
    "import hooks": lambda: sys.meta_path.append(object()),  # type: ignore[arg-type]
    "callbacks of the collector": lambda: gc.callbacks.append(lambda *_: None),
    "numpy printing": lambda: numpy.set_printoptions(precision=2),
    "decimals": lambda: setattr(decimal.getcontext(), "prec", 5),
    "reduced precision": lambda: _replace(torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False),
    "numpy errors": lambda: numpy.seterr(all="ignore"),
    "garbage collector": lambda: gc.disable(),
}

PROCESS = tuple(Hard(f"switch: {name}", partial(Switching, switch), rows) for name, switch in SWITCHES.items())
