"""What indexing and losses want: integer indices in range, masks of the right shape, targets of the right kind."""

from __future__ import annotations

import torch

from gradcheck_health.inputs.observation.failed_operation import FailedOperation
from gradcheck_health.inputs.wants.op_layers import argument
from gradcheck_health.inputs.wants.op_shapes import aligned
from gradcheck_health.inputs.wants.want import Want, equal, size


def indexing(failure: FailedOperation) -> list[Want]:
    x = failure.args[0] if failure.args else None
    index = failure.args[1] if len(failure.args) > 1 else None
    if not isinstance(x, torch.Tensor):
        return []
    if isinstance(index, str):
        return [Want("key", x, value=index, why=f"key {index!r}", cost=0.6)]
    parts = index if isinstance(index, tuple) else (index,)
    wants: list[Want] = []
    for part in parts:
        if isinstance(part, torch.Tensor) and part.is_floating_point():
            wants += [
                Want("kind", part, value="int", why="used as an index"),
                Want("kind", part, value="bool", why="used as a mask", cost=1.2),
            ]
    used = sum(
        part.dim() if isinstance(part, torch.Tensor) and part.dtype is torch.bool else part is not None and part is not Ellipsis
        for part in parts
    )
    if used > x.dim():
        wants.append(Want("rank", x, value=used, why="indexed with more axes", cost=0.8))
        return wants
    dim = 0
    for part in parts:
        if part is None:
            continue
        if part is Ellipsis:
            dim += x.dim() - used
            continue
        if isinstance(part, slice) and dim < x.dim() and (least := _least(part)) > x.shape[dim]:
            wants.append(Want("least", x, dim, least, why="a slice of it", cost=0.8))
        if isinstance(part, int) and dim < x.dim() and not -x.shape[dim] <= part < x.shape[dim]:
            wants.append(Want("least", x, dim, part + 1 if part >= 0 else -part, why="indexed", cost=0.8))
        if isinstance(part, torch.Tensor) and not part.is_floating_point() and part.dtype is not torch.bool and dim < x.dim():
            wants.append(Want("range", part, value=x.shape[dim], why="used as an index"))
        if isinstance(part, torch.Tensor) and part.dtype is torch.bool:
            for d in range(min(part.dim(), x.dim() - dim)):
                if part.shape[d] != x.shape[dim + d]:
                    wants += equal(x, dim + d, part, d, "mask")
            dim += part.dim() - 1
        dim += 1
    return wants


_COLUMNS = 16


def _least(part: slice) -> int:
    """How long an axis has to be for the slice to leave something of it; all of a few columns."""
    start, stop = (end if isinstance(end, int) else 0 for end in (part.start, part.stop))
    if 0 < start < stop <= start + _COLUMNS:
        return stop
    return start + 1 + (-stop if stop < 0 else 0) if start >= 0 else 0


def gather(failure: FailedOperation) -> list[Want]:
    """gather, scatter, index_select, index_add: integer index, in range, of the right rank."""
    x, dim, index = argument(failure, 0, "input"), argument(failure, 1, "dim", 0), argument(failure, 2, "index")
    if not isinstance(x, torch.Tensor) or not isinstance(index, torch.Tensor):
        return []
    if index.is_floating_point():
        return [Want("kind", index, value="int", high=x.shape[dim] if x.dim() else 2, why=failure.name, cost=0.7)]
    wants = [Want("range", index, value=x.shape[dim] if x.dim() else 1, why=failure.name, cost=0.8)]
    if failure.name.startswith(("gather", "scatter")) and index.dim() != x.dim():
        wants.append(Want("rank", index, value=x.dim(), why=failure.name))
    if failure.name in ("gather", "take_along_dim") and index.dim() == x.dim():
        along = dim % x.dim() if x.dim() else 0
        wants += [
            size(x, d, index.shape[d], failure.name) for d in range(x.dim()) if d != along and x.shape[d] < index.shape[d]
        ]
    if failure.name.startswith("index_") and index.dim() != 1:
        wants.append(Want("rank", index, value=1, template=("B",), why=failure.name))
    if failure.name.startswith("index_a") and isinstance(given := argument(failure, 3, "source"), torch.Tensor):
        wants += [Want("rank", given, value=x.dim(), why=failure.name, cost=0.9)] if given.dim() != x.dim() else []
    if (
        failure.name.startswith("index_a")
        and isinstance(source := argument(failure, 3, "source"), torch.Tensor)
        and source.dim() == x.dim()
    ):
        wants += [
            w
            for d in range(x.dim())
            for w in (equal(index, 0, source, d, failure.name) if d == dim else [])
            if index.dim() == 1
        ]
    return wants


def one_hot(failure: FailedOperation) -> list[Want]:
    x = failure.args[0]
    classes = argument(failure, 1, "num_classes", -1)
    if x.is_floating_point() or x.dtype is torch.bool:
        return [Want("kind", x, value="int", high=classes if classes > 0 else 2, why="one_hot", cost=0.7)]
    return [Want("range", x, value=classes, why="one_hot")] if classes > 0 else []


def loss(failure: FailedOperation) -> list[Want]:
    """Losses of torch.nn.functional: the target's kind, range and shape."""
    x, target = argument(failure, 0, "input"), argument(failure, 1, "target")
    if not isinstance(x, torch.Tensor) or not isinstance(target, torch.Tensor):
        return []
    wants: list[Want] = []
    if failure.name in ("cross_entropy", "nll_loss"):
        classes = x.shape[1] if x.dim() > 1 else x.shape[0] if x.dim() else 1
        if target.dim() != max(x.dim() - 1, 0) or target.is_floating_point() or target.dtype is torch.bool:
            template = ("B", *x.shape[2:]) if x.dim() > 1 else ()
            wants.append(Want("like", target, template=template, high=classes, why=failure.name, cost=0.6))
        if target.is_floating_point() or target.dtype is torch.bool:
            wants.append(Want("kind", target, value="int", high=classes, why=failure.name, cost=0.7))
        else:
            wants.append(Want("range", target, value=classes, why=failure.name, cost=0.8))
        if x.dim() > 1 and target.dim() != x.dim() - 1:
            wants.append(Want("rank", target, value=x.dim() - 1, why=failure.name))
        elif x.dim() > 1:
            axes = [0, *range(2, x.dim())]
            wants += [
                size(target, d, x.shape[axis], failure.name) for d, axis in enumerate(axes) if target.shape[d] != x.shape[axis]
            ]
        return wants
    return _like(failure, x, target) + aligned(x, target, failure.name)


def _like(failure: FailedOperation, x: torch.Tensor, target: torch.Tensor) -> list[Want]:
    """A target of the shape and kind of the input; probabilities, where the loss is one of probabilities."""
    binary = "binary_cross_entropy" in failure.name
    wants: list[Want] = []
    if not target.is_floating_point() or target.dim() != x.dim():
        fill = "uniform" if binary else "normal"
        wants.append(Want("like", target, value=fill, template=("B", *x.shape[1:]), why=failure.name, cost=0.6))
    if not target.is_floating_point():
        wants.append(Want("kind", target, value="float", why=failure.name, cost=0.7))
    shares = [] if not binary else [target] if "logits" in failure.name else [x, target]
    for tensor in shares:
        if tensor.is_floating_point() and not bool(((tensor >= 0) & (tensor <= 1)).all()):
            wants.append(Want("fill", tensor, value="uniform", why="values in [0, 1]", cost=0.8))
    if target.dim() != x.dim():
        wants.append(Want("rank", target, value=x.dim(), template=tuple(x.shape[1:]) and ("B", *x.shape[1:]), why=failure.name))
    return wants
