"""Process-wide state of torch and Python comes back as it was: random generators, modes, environment."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch


@contextlib.contextmanager
def process_guard() -> Iterator[None]:
    """Whatever the block does to process-wide torch and Python state (random generators, modes, environment) is undone."""
    with contextlib.ExitStack() as undo:
        for get, put in _PROCESS:
            undo.callback(put, get())
        yield


def _numpy_random() -> Any:
    random_module = sys.modules.get("numpy.random")  # where nobody imported it, nobody can draw from it
    return None if random_module is None else random_module.get_state()


def _set_numpy_random(state: Any) -> None:
    if state is not None:
        sys.modules["numpy.random"].set_state(state)


def _accelerator_random() -> Any:
    initialized: bool = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if initialized else None


def _set_accelerator_random(states: Any) -> None:
    if states is not None:
        torch.cuda.set_rng_state_all(states)


def _autocast() -> list[tuple[str, bool, torch.dtype]]:
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    return [(device, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in devices]


def _set_autocast(states: list[tuple[str, bool, torch.dtype]]) -> None:
    for device, enabled, dtype in states:
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_determinism(flags: tuple[bool, bool]) -> None:
    if _determinism() != flags:  # setting it imports the compiler, a second
        torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])


def _cudnn() -> tuple[bool, bool, bool]:
    return torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic


def _set_cudnn(flags: tuple[bool, bool, bool]) -> None:
    if _cudnn() != flags:  # torch can freeze them: then setting raises
        torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = flags


def _matmul_precision() -> str | None:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set through the newer interface, which this one refuses to read
        return None


def _set_matmul_precision(precision: str | None) -> None:
    if precision is not None and _matmul_precision() != precision:
        torch.set_float32_matmul_precision(precision)


def _set_environ(saved: dict[str, str]) -> None:
    if dict(os.environ) != saved:
        os.environ.clear()
        os.environ.update(saved)


def _set_default_device(device: torch.device) -> None:
    if torch.get_default_device() != device:
        torch.set_default_device(None if device.type == "cpu" else device)


def _set_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _set_cwd(path: str | None) -> None:
    if path is not None:
        os.chdir(path)


def _cwd() -> str | None:
    with contextlib.suppress(FileNotFoundError):
        return os.getcwd()
    return None


_PROCESS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (random.getstate, random.setstate),
    (_numpy_random, _set_numpy_random),
    (torch.get_rng_state, torch.set_rng_state),
    (_accelerator_random, _set_accelerator_random),
    (_autocast, _set_autocast),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, _set_default_device),
    (_determinism, _set_determinism),
    (_cudnn, _set_cudnn),
    (_matmul_precision, _set_matmul_precision),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_num_threads, _set_threads),
    (lambda: list(warnings.filters), lambda saved: warnings.filters.__setitem__(slice(None), saved)),  # type: ignore[index]
    (_cwd, _set_cwd),
    (lambda: dict(os.environ), _set_environ),
    (lambda: list(sys.path), lambda saved: sys.path.__setitem__(slice(None), saved)),
)
"""Process-wide state, saved first to last and restored last to first."""
