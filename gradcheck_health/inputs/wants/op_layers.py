"""What the operations behind layers want: convolutions, linear maps, embeddings, norms, pooling, attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gradcheck_health.inputs.observation.failed_operation import FailedOperation
from gradcheck_health.inputs.plan import SPATIAL, Dim
from gradcheck_health.inputs.wants.want import Want, size
from gradcheck_health.records.errors import message_of as text_of


def argument(failure: FailedOperation, position: int, name: str, default: Any = None) -> Any:
    """An argument of the failing call, by position or keyword."""
    if position < len(failure.args):
        return failure.args[position]
    return failure.kwargs.get(name, default)


def _axes(name: str) -> int:
    return next((n for n in (1, 2, 3) if f"{n}d" in name), 0)


def _tuple(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * axes


def convolution(failure: FailedOperation) -> list[Want]:
    x, w = argument(failure, 0, "input"), argument(failure, 1, "weight")
    if not isinstance(x, torch.Tensor) or not isinstance(w, torch.Tensor):
        return []
    axes = w.dim() - 2
    if axes not in SPATIAL:
        return []
    transposed = "transpose" in failure.name
    groups = argument(failure, 6, "groups", 1)
    channels = w.shape[0] if transposed else w.shape[1] * groups
    why = f"{failure.name} with {channels} channels"
    wants = [] if x.is_floating_point() or x.is_complex() else [Want("kind", x, value="float", why=why, cost=0.6)]
    if x.dim() != axes + 2 and not (x.dim() == axes + 1 and x.shape[0] == channels):
        wants.append(Want("rank", x, value=axes + 2, template=("B", channels, *SPATIAL[axes]), why=why))
    elif x.shape[-axes - 1] != channels:
        wants.append(size(x, x.dim() - axes - 1, channels, why))
    elif not transposed:
        wants += _kernel(failure, x, w, axes)
    return wants


def _kernel(failure: FailedOperation, x: torch.Tensor, w: torch.Tensor, axes: int) -> list[Want]:
    padding = argument(failure, 4, "padding", 0)
    dilation = _tuple(argument(failure, 5, "dilation", 1), axes)
    pads = (0,) * axes if isinstance(padding, str) else _tuple(padding, axes)
    wants = []
    for i in range(axes):
        needed = (w.shape[2 + i] - 1) * dilation[i % len(dilation)] + 1 - 2 * pads[i % len(pads)]
        got = x.shape[x.dim() - axes + i]
        if got < needed:
            wants.append(Want("least", x, x.dim() - axes + i, needed, why=f"kernel of {w.shape[2 + i]}"))
    return wants


def linear(failure: FailedOperation) -> list[Want]:
    x, w = argument(failure, 0, "input"), argument(failure, 1, "weight")
    if not isinstance(x, torch.Tensor) or not isinstance(w, torch.Tensor):
        return []
    why = f"linear with {w.shape[-1]} features"
    wants = [] if x.is_floating_point() or x.is_complex() else [Want("kind", x, value="float", why=why, cost=0.6)]
    if x.dim() == 0:
        return [*wants, Want("rank", x, value=2, template=("B", w.shape[-1]), why=why)]
    if x.shape[-1] != w.shape[-1]:
        wants.append(size(x, x.dim() - 1, w.shape[-1], why))
        if x.dim() == 1 and w.shape[-1] == 1:
            wants.append(Want("rank", x, value=2, template=("B", 1), why=why))
    return wants


def embedding(failure: FailedOperation) -> list[Want]:
    operands = [t for t in (argument(failure, 0, "input"), argument(failure, 1, "weight")) if isinstance(t, torch.Tensor)]
    if len(operands) < 2:
        return []
    ids, table = operands if operands[1].dim() == 2 and operands[1].is_floating_point() else operands[::-1]
    rows = table.shape[0]
    why = f"embedding with {rows} rows"
    if ids.is_floating_point() or ids.dtype is torch.bool or ids.is_complex():
        return [Want("kind", ids, value="int", high=rows, why=why, cost=0.6)]
    wants = [Want("range", ids, value=rows, why=why, cost=0.6)]
    if failure.name == "embedding_bag":
        offsets = argument(failure, 2, "offsets")
        weights = argument(failure, 6, "per_sample_weights")
        if isinstance(offsets, torch.Tensor):
            wants.append(Want("fill", offsets, value="offsets", why="offsets of bags", cost=0.4))
            wants.append(Want("rank", ids, value=1, template=("T",), why="embedding_bag with offsets", cost=0.5))
        elif ids.dim() == 1:
            wants.append(Want("rank", ids, value=2, template=("B", "T"), why="embedding_bag without offsets", cost=0.5))
        if isinstance(weights, torch.Tensor) and weights.shape != ids.shape:
            wants += [size(weights, d, ids.shape[d], why) for d in range(min(weights.dim(), ids.dim()))]
    return wants


def norm(failure: FailedOperation) -> list[Want]:
    x = argument(failure, 0, "input")
    if not isinstance(x, torch.Tensor):
        return []
    wants = [] if x.is_floating_point() else [Want("kind", x, value="float", why=failure.name, cost=0.6)]
    if failure.name in ("layer_norm", "rms_norm"):
        shape = argument(failure, 1, "normalized_shape", ())
        if x.dim() < len(shape):
            return [*wants, Want("rank", x, value=len(shape) + 1, template=("B", *shape), why="layer_norm")]
        return wants + [
            size(x, x.dim() - i, wanted, "layer_norm") for i, wanted in enumerate(reversed(shape), 1) if x.shape[-i] != wanted
        ]
    candidates = [argument(failure, i, "") for i in range(1, 5)] + list(failure.kwargs.values())
    vector = next((t for t in candidates if isinstance(t, torch.Tensor) and t.dim() == 1), None)
    if vector is not None and x.dim() > 1 and x.shape[1] != vector.numel():
        wants.append(size(x, 1, vector.numel(), f"{failure.name} with {vector.numel()} channels"))
    groups = argument(failure, 1, "num_groups")
    if failure.name == "group_norm" and isinstance(groups, int) and x.dim() > 1 and vector is None:
        wants.append(Want("multiple", x, 1, groups, why="group_norm"))
    if "more than 1" in text_of(failure.error):
        wants += [Want("least", x, d, 2, why="norm over one value", cost=0.8) for d in range(x.dim() - 1, 1, -1)]
    return wants


def pooling(failure: FailedOperation) -> list[Want]:
    x = argument(failure, 0, "input")
    axes = _axes(failure.name)
    if not isinstance(x, torch.Tensor) or not axes:
        return []
    wants = [] if x.is_floating_point() else [Want("kind", x, value="float", why=failure.name, cost=0.8)]
    if x.dim() not in (axes + 1, axes + 2):
        wants.append(Want("rank", x, value=(axes + 2, axes + 1), template=("B", 3, *SPATIAL[axes]), why=failure.name))
        return wants
    kernel = argument(failure, 1, "kernel_size")
    kernels = _tuple(kernel, axes) if isinstance(kernel, int | tuple | list) else (2,) * axes
    for i in range(axes):
        d = x.dim() - axes + i
        if x.shape[d] < kernels[i % len(kernels)]:
            wants.append(Want("least", x, d, kernels[i % len(kernels)], why=f"{failure.name} of {kernels[i % len(kernels)]}"))
    return wants


def attention(failure: FailedOperation) -> list[Want]:
    """`F.multi_head_attention_forward`: widths, masks and ranks."""
    query, key, value = (argument(failure, i, n) for i, n in enumerate(("query", "key", "value")))
    if not all(isinstance(t, torch.Tensor) for t in (query, key, value)):
        return []
    width = argument(failure, 3, "embed_dim_to_check")
    wants: list[Want] = []
    for tensor in (query, key, value):
        if not tensor.is_floating_point():
            wants.append(Want("kind", tensor, value="float", why="attention", cost=0.6))
        if tensor.dim() not in (2, 3) or tensor.dim() < max(query.dim(), key.dim(), value.dim()):
            wants.append(Want("rank", tensor, value=3, template=("B", "T", width), why="attention"))
    if wants:
        return wants
    if query.shape[-1] != width:
        wants.append(size(query, query.dim() - 1, width, "attention width"))
    batch, target, source = query.shape[1] if query.dim() == 3 else 0, query.shape[0], key.shape[0]
    if key.dim() == query.dim() == 3 and key.shape[1] != batch:
        wants += [size(key, 1, batch, "attention batch"), size(query, 1, key.shape[1], "attention batch", 1.2)]
    if value.shape[:-1] != key.shape[:-1]:
        wants += [size(value, d, key.shape[d], "keys and values") for d in range(key.dim() - 1)]
    padding, mask = failure.kwargs.get("key_padding_mask"), failure.kwargs.get("attn_mask")
    if isinstance(padding, torch.Tensor):
        wants += _shape(padding, (batch, source), ("B", "T"), "key_padding_mask")
    if isinstance(mask, torch.Tensor):
        wants += _shape(mask, (target, source), ("T", "T"), "attn_mask")
    return wants


def _shape(tensor: torch.Tensor, shape: tuple[int, ...], template: tuple[Dim, ...], why: str) -> list[Want]:
    if tensor.dim() != len(shape):
        return [Want("rank", tensor, value=len(shape), template=template, why=why, cost=0.8)]
    wants = [size(tensor, d, wanted, why, 0.9) for d, wanted in enumerate(shape) if tensor.shape[d] != wanted]
    if tensor.dtype is not torch.bool:
        wants.append(Want("kind", tensor, value="bool", why=why))
    return wants


RULES: dict[str, Callable[[FailedOperation], list[Want]]] = {
    **dict.fromkeys([f"conv{t}{n}d" for n in (1, 2, 3) for t in ("", "_transpose")], convolution),
    "linear": linear, "embedding": embedding, "embedding_bag": embedding,
    "batch_norm": norm, "layer_norm": norm, "group_norm": norm, "instance_norm": norm, "rms_norm": norm,
    "multi_head_attention_forward": attention,
}  # fmt: skip


def rule(name: str) -> Callable[[FailedOperation], list[Want]] | None:
    """The reader of this operation's wishes."""
    found = RULES.get(name)
    if found is None and "pool" in name and _axes(name):
        return pooling
    return found
