"""How an operation rearranges the dimensions of a tensor: exact for views and elementwise work, unknown for everything else."""

from __future__ import annotations

from typing import Any

import torch

from gradcheck_health.inputs.observation.joined_dimensions import INSERTED

ELEMENTWISE = {
    "__add__", "__eq__", "__iadd__", "__imul__", "__invert__", "__isub__", "__mul__", "__ne__", "__neg__", "__pow__",
    "__radd__", "__rmul__", "__rsub__", "__rtruediv__", "__sub__", "__truediv__", "abs", "add", "add_", "alias",
    "alpha_dropout", "as_subclass", "batch_norm", "bfloat16", "bool", "clamp", "clamp_", "clip", "clone", "contiguous",
    "cos", "cpu", "cuda", "data", "detach", "div", "div_", "double", "dropout", "elu", "eq", "exp", "expm1",
    "feature_dropout", "flip", "float", "floor", "fmod", "gelu", "group_norm", "half", "instance_norm", "int",
    "layer_norm", "leaky_relu", "log", "log1p", "log_softmax", "logical_not", "long", "masked_fill", "mul", "mul_",
    "nan_to_num", "ne", "neg", "normalize", "pow", "relu", "relu_", "remainder", "requires_grad_", "roll", "round",
    "rsub", "sigmoid", "silu", "sin", "softmax", "sqrt", "square", "sub", "sub_", "tanh", "to", "true_divide", "type",
    "type_as",
}  # fmt: skip


def layout_after(name: str, args: Any, kwargs: Any, source: torch.Tensor, layout: Any, out: torch.Tensor) -> Any:
    """The layout of `out`, made from `source` by operation `name`; None where it is not known exactly."""
    if layout is None or not args or args[0] is not source:
        return None
    if name in ELEMENTWISE:
        return layout if out.shape == source.shape else None
    rule = _RULES.get(name)
    if rule is None:
        return None
    try:
        entries = rule(list(layout), list(args[1:]), kwargs, source)
    except (IndexError, TypeError, ValueError, KeyError):
        return None
    return tuple(entries) if entries is not None and len(entries) == out.dim() else None


def _transpose(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    a, b = args[0] if args else kwargs["dim0"], args[1] if len(args) > 1 else kwargs["dim1"]
    entries[a], entries[b] = entries[b], entries[a]
    return entries


def _permute(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    order = args[0] if args and isinstance(args[0], tuple | list) else args or kwargs["dims"]
    return [entries[i] for i in order]


def _unsqueeze(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    dim = args[0] if args else kwargs["dim"]
    entries.insert(dim if dim >= 0 else len(entries) + 1 + dim, INSERTED)
    return entries


def _squeeze(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    dims = args[0] if args else kwargs.get("dim")
    if dims is None:
        return [entry for entry, size in zip(entries, source.shape, strict=True) if size != 1]
    drop = {d % len(entries) for d in ([dims] if isinstance(dims, int) else dims)}
    return [entry for i, entry in enumerate(entries) if i not in drop or source.shape[i] != 1]


def _flatten(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any] | None:
    start = (args[0] if args else kwargs.get("start_dim", 0)) % len(entries)
    return entries if start >= len(entries) - 1 else None


def _getitem(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any] | None:
    index = args[0] if isinstance(args[0], tuple) else (args[0],)
    if any(not (isinstance(i, int | slice) or i is None or i is Ellipsis) for i in index):
        return None
    taken = sum(1 for i in index if i is not None and i is not Ellipsis)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = (*index[:at], *[slice(None)] * (len(entries) - taken), *index[at + 1 :])
    result: list[Any] = []
    position = 0
    for i in index:
        if i is None:
            result.append(INSERTED)
            continue
        if isinstance(i, slice):
            result.append(entries[position] if i == slice(None) else None)
        position += 1
    return result + entries[position:]


def _mirrored(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    return entries[::-1] if len(entries) == 2 else [*entries[:-2], entries[-1], entries[-2]]


def _select(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    dim = (args[0] if args else kwargs["dim"]) % len(entries)
    return entries[:dim] + entries[dim + 1 :]


def _unbound(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    dim = (args[0] if args else kwargs.get("dim", 0)) % len(entries)
    return entries[:dim] + entries[dim + 1 :]


def _linear(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    return [*entries[:-1], None]


def _weighted(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any] | None:
    """A product with a matrix of weights from the right."""
    other = args[0] if args else kwargs.get("other")
    return [*entries[:-1], None] if isinstance(other, torch.nn.Parameter) and other.dim() == 2 else None


def _batch_alone(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    """Convolutions and pools: the samples stay apart."""
    return [entries[0], *[None] * (len(entries) - 1)]


def _expand(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    """Axes of one entry become longer, and further ones may stand in front."""
    wanted = args[0] if args and isinstance(args[0], torch.Tensor | tuple | list) else args or kwargs["size"]
    sizes = wanted.shape if isinstance(wanted, torch.Tensor) else wanted
    more = len(sizes) - len(entries)
    same = [entry if size in (-1, had) else None for entry, size, had in zip(entries, sizes[more:], source.shape, strict=True)]
    return [None] * more + same


def _along(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    """Entries are picked along one axis."""
    dim = (args[0] if args and isinstance(args[0], int) else kwargs["dim"]) % len(entries)
    return [None if i == dim else entry for i, entry in enumerate(entries)]


def _same(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    return entries


def _split(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % len(entries)
    return [None if i == dim else entry for i, entry in enumerate(entries)]


def _embedding(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any]:
    return [*entries, None]


def _reduce(entries: list[Any], args: list[Any], kwargs: Any, source: torch.Tensor) -> list[Any] | None:
    dims = args[0] if args else kwargs.get("dim")
    keep = kwargs.get("keepdim", args[1] if len(args) > 1 else False)
    if dims is None:
        return []
    if isinstance(dims, torch.Tensor):  # max of two tensors
        return None
    drop = {d % len(entries) for d in ([dims] if isinstance(dims, int) else dims)}
    return [None if i in drop else entry for i, entry in enumerate(entries) if keep or i not in drop]


_RULES = {
    "transpose": _transpose, "swapaxes": _transpose, "permute": _permute, "unsqueeze": _unsqueeze, "squeeze": _squeeze,
    "flatten": _flatten, "__getitem__": _getitem, "T": _mirrored, "mT": _mirrored, "t": _mirrored, "select": _select,
    "unbind": _unbound, "split": _split, "chunk": _split, "linear": _linear, "embedding": _embedding,
    "matmul": _weighted, "__matmul__": _weighted, "mm": _weighted,
    **dict.fromkeys(
        [f"{kind}{n}d" for kind in ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool") for n in (1, 2, 3)],
        _batch_alone,
    ),
    **dict.fromkeys(["mean", "sum", "amax", "amin", "max", "min", "std", "var", "norm", "prod", "logsumexp"], _reduce),
    "gather": _along, "take_along_dim": _along, "cumsum": _same, "sort": _same,
    "expand": _expand, "expand_as": _expand,
}  # fmt: skip
