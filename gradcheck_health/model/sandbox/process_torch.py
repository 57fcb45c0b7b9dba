"""Settings of torch that the code of a model can change: (read, put back)."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from gradcheck_health.model.sandbox.process_python import IdentityAndContents, Setting, attribute, holder, namespace

_BACKENDS = torch.backends
_TINY = 1e-310
"""The smallest normal number is 2e-308."""


def _autocast() -> list[tuple[str, bool, torch.dtype]]:
    return [(device, torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")]


def _set_autocast(states: list[tuple[str, bool, torch.dtype]]) -> None:
    for device, enabled, dtype in states:
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, dtype)


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_determinism(flags: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])


def _matmul_precision() -> str | None:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set through the newer interface, which this one refuses to read
        return None


def _set_matmul_precision(precision: str | None) -> None:
    if precision is not None:
        torch.set_float32_matmul_precision(precision)


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _set_anomaly(saved: tuple[bool, bool]) -> None:
    torch.autograd.set_detect_anomaly(saved[0], check_nan=saved[1])


def _modes() -> IdentityAndContents:
    """The function modes that are entered, and the default device, which is one of them."""
    count = torch._C._len_torch_function_stack()
    modes = [torch._C._get_function_stack_at(i) for i in range(count)]
    device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    module = sys.modules.get("torch.utils._device")  # imported with the first default device
    return IdentityAndContents(device, ([id(mode) for mode in modes], modes, getattr(module, "CURRENT_DEVICE", None)))


def _set_modes(saved: IdentityAndContents) -> None:
    _, modes, current = saved.contents
    while torch._C._len_torch_function_stack():
        torch._C._pop_torch_function_stack()
    for mode in modes:
        torch._C._push_on_torch_function_stack(mode)
    torch._GLOBAL_DEVICE_CONTEXT.device_context = saved.value
    if "torch.utils._device" in sys.modules:
        vars(sys.modules["torch.utils._device"])["CURRENT_DEVICE"] = current


def _saved_tensor_hooks() -> Any:
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


def _set_saved_tensor_hooks(saved: Any) -> None:
    """Only the topmost can be read: those above it are left."""
    while (now := _saved_tensor_hooks()) is not None and now != saved:
        torch._C._autograd._pop_saved_tensors_default_hooks()


def _print_options() -> dict[str, Any]:
    return dict(vars(torch._tensor_str.PRINT_OPTS))


def _set_print_options(saved: dict[str, Any]) -> None:
    vars(torch._tensor_str.PRINT_OPTS).update(saved)


def _switches(*names: str) -> Setting:
    """Of attention: `flash` is read by `flash_sdp_enabled` and set by `enable_flash_sdp`."""
    cuda: Any = _BACKENDS.cuda
    return (
        lambda: [getattr(cuda, f"{name}_sdp_enabled")() for name in names],
        lambda saved: [getattr(cuda, f"enable_{name}_sdp")(on) for name, on in zip(names, saved, strict=True)],
    )


def _dispatch_modes() -> IdentityAndContents:
    count = torch._C._len_torch_dispatch_stack()
    modes = [torch._C._get_dispatch_stack_at(i) for i in range(count)]
    return IdentityAndContents(None, [id(mode) for mode in modes])


def _set_dispatch_modes(saved: IdentityAndContents) -> None:
    """Those that were entered and never left."""
    while torch._C._len_torch_dispatch_stack() > len(saved.contents):
        torch._C._pop_torch_dispatch_stack()


_MATMUL = ("allow_tf32", "allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
_GLOBAL_HOOKS = [
    name for name, held in vars(nn.modules.module).items() if name.startswith("_global_") and isinstance(held, dict)
]

TORCH: tuple[Setting, ...] = (
    (_modes, _set_modes),
    (_dispatch_modes, _set_dispatch_modes),
    (_autocast, _set_autocast),
    (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (_determinism, _set_determinism),
    attribute(torch.utils.deterministic, "fill_uninitialized_memory"),
    *(attribute(_BACKENDS.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")),
    attribute(_BACKENDS.mkldnn, "enabled"),
    attribute(_BACKENDS.opt_einsum, "enabled"),
    (_matmul_precision, _set_matmul_precision),
    _switches("flash", "mem_efficient", "math", "cudnn"),
    *(attribute(_BACKENDS.cuda.matmul, name) for name in _MATMUL),
    (torch._C._get_mkldnn_deterministic, torch._C._set_mkldnn_deterministic),
    (torch._C._get_nnpack_enabled, torch._C._set_nnpack_enabled),
    (_anomaly, _set_anomaly),
    (_saved_tensor_hooks, _set_saved_tensor_hooks),
    (torch._C._is_multithreading_enabled, torch._C._set_multithreading_enabled),
    (torch.get_num_threads, torch.set_num_threads),
    (lambda: _TINY * float("1") == 0.0, torch.set_flush_denormal),
    (torch.is_warn_always_enabled, torch.set_warn_always),
    (_print_options, _set_print_options),
    attribute(parametrize, "_cache_enabled"),
    holder(parametrize, "_cache"),
    *(holder(nn.modules.module, name) for name in _GLOBAL_HOOKS),
)
TORCH_ONCE = tuple(namespace(owner) for owner in (torch, torch.Tensor, nn.Module, nn.functional, nn.init))
"""Functions that code may have replaced: put back at the end of a check."""
