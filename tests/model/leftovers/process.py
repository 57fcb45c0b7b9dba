"""Settings of the process, of Python and of torch, as plain values."""

from __future__ import annotations

import decimal
import gc
import hashlib
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize


def settings() -> dict[str, Any]:
    """Name -> value. What a first use of torch imports is no setting."""
    return {**_python(), **_random(), **_modes(), **_backends(), **_patched()}


def _python() -> dict[str, Any]:
    mask = os.umask(0)
    os.umask(mask)
    handlers = {
        name: id(signal.getsignal(getattr(signal, name))) for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGUSR1", "SIGCHLD")
    }
    root = logging.getLogger()
    return {
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "umask": mask,
        "sys.path": (id(sys.path), list(sys.path)),
        "sys.argv": list(sys.argv),
        "recursion limit": sys.getrecursionlimit(),
        "streams": (id(sys.stdin), id(sys.stdout), id(sys.stderr)),
        "hooks of sys": (id(sys.excepthook), id(sys.displayhook), id(sys.breakpointhook), sys.gettrace(), sys.getprofile()),
        "warning filters": (id(warnings.filters), list(warnings.filters)),
        "showwarning": id(warnings.showwarning),
        "handlers": handlers,
        "threads": threading.active_count(),
        "gc": (gc.isenabled(), gc.get_threshold(), len(gc.callbacks)),
        "locale": locale.setlocale(locale.LC_ALL),
        "logging": (root.level, logging.root.manager.disable, [id(handler) for handler in root.handlers]),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "switch interval": sys.getswitchinterval(),
        "import hooks": (list(sys.meta_path), list(sys.path_hooks)),
        "collector's callbacks": list(gc.callbacks),
        "decimals": repr(decimal.getcontext()),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
    }


def _random() -> dict[str, Any]:
    numpy = sys.modules.get("numpy")
    return {
        "random": hash(random.getstate()),
        "torch random": hashlib.blake2b(torch.get_rng_state().numpy()).hexdigest(),
        "numpy random": None if numpy is None else repr(numpy.random.get_state()),
        "numpy errors": None if numpy is None else numpy.geterr(),
        "numpy printing": None if numpy is None else numpy.get_printoptions(),
    }


def _modes() -> dict[str, Any]:
    autograd = torch._C._autograd
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "function modes": torch._C._len_torch_function_stack(),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()),
        "autocast of cuda": (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
        ),
        "anomaly": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "saved tensor hooks": autograd._top_saved_tensors_default_hooks(True) is not None,
        "multithreading": torch.autograd.is_multithreading_enabled(),
        "threads of torch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        # a truth value: where denormals count as zero, a comparison of the numbers would find them equal
        "denormal numbers": float(torch.tensor(1e-310, dtype=torch.float64, device="cpu") * 1.0) != 0.0,
        "print options": repr(vars(torch._tensor_str.PRINT_OPTS)),
        "parametrize cache": (parametrize._cache_enabled, len(parametrize._cache)),
        "warn always": torch.is_warn_always_enabled(),
    }


def _backends() -> dict[str, Any]:
    backends = torch.backends
    return {
        "cudnn": (
            backends.cudnn.enabled,
            backends.cudnn.benchmark,
            backends.cudnn.deterministic,
            backends.cudnn.allow_tf32,
        ),
        "matmul": (torch.get_float32_matmul_precision(), backends.cuda.matmul.allow_fp16_reduced_precision_reduction),
        "mkldnn": (backends.mkldnn.enabled, torch._C._get_mkldnn_deterministic()),
        "attention": (
            backends.cuda.flash_sdp_enabled(),
            backends.cuda.mem_efficient_sdp_enabled(),
            backends.cuda.math_sdp_enabled(),
        ),
        "einsum": (backends.opt_einsum.enabled, backends.opt_einsum.strategy),
        "nnpack": torch._C._get_nnpack_enabled(),
    }


def _patched() -> dict[str, Any]:
    """What stands in the namespaces that a tool likes to patch, and torch's hooks for every module."""
    spaces = {"Module": nn.Module, "Tensor": torch.Tensor, "functional": nn.functional, "Function": torch.autograd.Function}
    patched = {
        f"patched {name}": (len(vars(space)), hash(tuple(map(id, vars(space).values())))) for name, space in spaces.items()
    }
    hooks = {
        key: [id(hook) for hook in value.values()]
        for key, value in vars(nn.modules.module).items()
        if key.startswith("_global_") and isinstance(value, dict)
    }
    return {**patched, **{f"hooks of every module, {key}": value for key, value in hooks.items()}}
