"""What operations on shapes and indices want: broadcasting, products, views, concatenation, indexing, losses."""

from __future__ import annotations

import itertools
import math

import torch

from gradcheck_health.inputs.observation.failed_operation import FailedOperation
from gradcheck_health.inputs.wants.op_layers import argument
from gradcheck_health.inputs.wants.want import Want, equal, size
from gradcheck_health.model.nest import operand_tensors


def product(failure: FailedOperation) -> list[Want]:
    """matmul and its kin: the inner sizes agree, and so do the batches."""
    operands = operand_tensors((failure.args, failure.kwargs))
    if failure.name in ("addmm", "baddbmm", "addbmm") and len(operands) > 2:
        operands = operands[1:]
    if len(operands) < 2:
        return []
    a, b = operands[:2]
    if failure.name == "__rmatmul__":
        a, b = b, a
    why = failure.name.strip("_")
    wants = []
    need = {"mm": (2, 2), "addmm": (2, 2), "bmm": (3, 3), "baddbmm": (3, 3), "mv": (2, 1)}.get(why)
    for tensor, rank in zip((a, b), need or (), strict=False):
        if tensor.dim() != rank:
            wants.append(Want("rank", tensor, value=rank, why=why))
    if wants or not a.dim() or not b.dim():
        return wants
    row = b.dim() - 2 if b.dim() > 1 else 0
    if a.shape[-1] != b.shape[row]:
        wants += equal(a, a.dim() - 1, b, row, why)
    return wants + aligned(a, b, why, skip=2)


def aligned(a: torch.Tensor, b: torch.Tensor, why: str, skip: int = 0) -> list[Want]:
    """Broadcasting from the right."""
    wants: list[Want] = []
    for i in range(skip + 1, min(a.dim(), b.dim()) + 1):
        x, y = a.shape[-i], b.shape[-i]
        if x != y and x != 1 and y != 1:
            wants += equal(a, a.dim() - i, b, b.dim() - i, why, stretched=True)
    return wants


def same_shape(a: torch.Tensor, b: torch.Tensor, why: str) -> list[Want]:
    """Either may be of the shape of the other, if it is an argument itself."""
    pairs = ((b, a), (a, b)) if a.dim() >= b.dim() else ((a, b), (b, a))
    return [
        Want("like", one, value="normal", template=tuple(other.shape), why=why, cost=0.9 + 0.2 * place)
        for place, (one, other) in enumerate(pairs)
        if other.is_floating_point()
    ]


def broadcast(failure: FailedOperation) -> list[Want]:
    operands = operand_tensors((failure.args, failure.kwargs))
    wants: list[Want] = []
    for a, b in itertools.combinations(operands, 2):
        wants += aligned(a, b, f"sizes in {failure.name.strip('_')}")
    if (
        len(operands) == 2
        and wants
        and operands[0].dim() == operands[1].dim()
        and operands[0].shape[:1] != operands[1].shape[:1]
    ):
        # a table without a batch axis met one that was taken for it
        wants += [Want("rank", t, value=t.dim() + 1, why=failure.name.strip("_"), cost=1.3) for t in operands]
    if len(operands) == 2 and wants:
        wants += same_shape(operands[0], operands[1], failure.name.strip("_"))
    if len(operands) == 2 and operands[0].dim() != operands[1].dim() and wants:
        a, b = operands
        wants += [
            Want("rank", a, value=b.dim(), why=failure.name, cost=1.6),
            Want("rank", b, value=a.dim(), why=failure.name, cost=1.6),
        ]
    return wants


def view(failure: FailedOperation) -> list[Want]:
    x = failure.args[0] if failure.args else None
    if not isinstance(x, torch.Tensor):
        return []
    sizes = failure.args[1] if len(failure.args) == 2 and isinstance(failure.args[1], tuple | list) else failure.args[1:]
    sizes = failure.kwargs.get("shape", sizes) or failure.kwargs.get("size", sizes)
    if failure.name == "unflatten":
        dim, parts = argument(failure, 1, "dim"), argument(failure, 2, "sizes")
        if dim >= x.dim():
            return [Want("rank", x, value=dim + 1, why="unflatten", cost=0.7)]
        known = math.prod(s for s in parts if s > 0)
        return [Want("multiple" if -1 in parts else "size", x, dim, known, why="unflatten")]
    if not all(isinstance(s, int) for s in sizes) or not sizes:
        return []
    known = math.prod(s for s in sizes if s > 0)
    why = f"view to {list(sizes)}"
    first = x.shape[0] if x.dim() else 1
    lead = x.dim() - 1
    if lead == 1 and -1 not in sizes and len(sizes) > 2 and tuple(sizes[:2]) == tuple(x.shape):
        # both axes stay, and what is taken apart stands behind them
        return [Want("rank", x, value=3, template=("B", "T", math.prod(sizes[2:])), why=why, cost=0.7)]
    if -1 not in sizes and lead > 0 and tuple(sizes[:lead]) == tuple(x.shape[:lead]) and len(sizes) > lead:
        # every axis stays but the last, which is taken apart: heads and what each of them sees
        return [size(x, lead, math.prod(sizes[lead:]), why, 0.8), Want("total", x, value=known // max(first, 1), why=why)]
    if -1 not in sizes:
        if sizes[0] == first or known % first == 0:
            return [Want("total", x, value=known // first, why=why)]
        return [Want("total", x, value=max(known // first, 1), why=why)]
    if sizes[0] == -1:
        # rows of that many: the features themselves, or all that a sample holds
        rows = [size(x, x.dim() - 1, sizes[-1], why, 1.2)] if len(sizes) == 2 and x.dim() in (2, 3) else []
        return [Want("total", x, value=known, why=why), *rows]
    side = math.isqrt(max(sizes[-1], 0))
    if side > 1 and side * side == sizes[-1] and x.dim() == 4 and x.shape[-1] == x.shape[-2] != side:
        # view(B, heads, -1, 49): a window or a map of seven by seven
        return [size(x, 3, side, why, 0.8)]
    # view(B, -1, K): the last axis has to be a multiple of what is asked for
    per = known // first if sizes[0] == first else known
    wants = [Want("multiple", x, d, sizes[-1] if sizes[-1] > 0 else per, why=why) for d in range(x.dim() - 1, 0, -1)]
    return [*wants, Want("total", x, value=per, why=why, cost=1.5)]


def concatenation(failure: FailedOperation) -> list[Want]:
    parts = argument(failure, 0, "tensors")
    dim = argument(failure, 1, "dim", failure.kwargs.get("axis", 0))
    if not isinstance(parts, tuple | list) or not all(isinstance(t, torch.Tensor) for t in parts) or not parts:
        return []
    wants: list[Want] = []
    a = parts[0]
    for b in parts[1:]:
        if a.dim() != b.dim():
            wants += [
                Want("rank", b, value=a.dim(), template=tuple(a.shape), why="cat"),
                Want("rank", a, value=b.dim(), template=tuple(b.shape), why="cat", cost=1.1),
            ]
            continue
        skip = dim % a.dim() if failure.name in ("cat", "concat", "concatenate") and a.dim() else -1
        for d in range(a.dim()):
            if d != skip and a.shape[d] != b.shape[d]:
                wants += equal(a, d, b, d, "cat" if skip >= 0 else "stack")
        if sum(d != skip and a.shape[d] != b.shape[d] for d in range(a.dim())) > 1:
            shape = tuple(b.shape[d] if d == skip else size for d, size in enumerate(a.shape))
            wants.append(Want("like", b, value="normal", template=shape, why="cat", cost=0.8))
    return wants


def einsum(failure: FailedOperation) -> list[Want]:
    equation = failure.args[0]
    operands = operand_tensors(failure.args[1:])
    if not isinstance(equation, str):
        return []
    seen: dict[str, tuple[torch.Tensor, int]] = {}
    wants: list[Want] = []
    for term, tensor in zip(equation.replace(" ", "").split("->")[0].split(","), operands, strict=False):
        letters = term.replace("...", "")
        if "..." not in term and len(letters) != tensor.dim():
            wants.append(Want("rank", tensor, value=len(letters), why=f"einsum {equation}"))
            continue
        start = 0 if not term.startswith("...") else tensor.dim() - len(letters)
        for i, letter in enumerate(letters):
            at = start + i
            if letter in seen and seen[letter][0].shape[seen[letter][1]] != tensor.shape[at]:
                wants += equal(*seen[letter], tensor, at, f"einsum {equation}")
            seen.setdefault(letter, (tensor, at))
    return wants
