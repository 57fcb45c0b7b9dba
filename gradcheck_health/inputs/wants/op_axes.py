"""What operations want that name their axes, and those on signals and maps: permute, mean, stft, interpolate, pad."""

from __future__ import annotations

from typing import Any

import torch

from gradcheck_health.inputs.observation.failed_operation import FailedOperation
from gradcheck_health.inputs.wants.op_layers import argument
from gradcheck_health.inputs.wants.want import Want, size


def ranked(failure: FailedOperation) -> list[Want]:
    """Operations that name their axes: permute, transpose, size, flatten, mean ..."""
    x = failure.args[0] if failure.args else failure.kwargs.get("input")
    if not isinstance(x, torch.Tensor):
        return []
    numbers = [
        n for n in _flat((failure.args[1:], list(failure.kwargs.values()))) if isinstance(n, int) and not isinstance(n, bool)
    ]
    if failure.name == "permute":
        return [Want("rank", x, value=len(numbers), why="permute", cost=0.7)]
    if not numbers:
        return []
    if failure.name in ("topk", "kthvalue"):
        count, dim = argument(failure, 1, "k"), argument(failure, 2, "dim", -1)
        within = isinstance(dim, int) and isinstance(count, int) and -x.dim() <= dim < x.dim()
        if within:
            return [Want("least", x, dim, count, why=failure.name, cost=0.8)] if x.shape[dim] < count else []
        numbers = [dim]
    if failure.name in ("split", "chunk", "narrow", "unfold", "select", "tensor_split"):
        dim = failure.kwargs.get(
            "dim", numbers[0] if failure.name in ("narrow", "unfold", "select") else numbers[-1] if len(numbers) > 1 else 0
        )
        wants = [Want("rank", x, value=_rank_for(dim), why=failure.name)] if not -x.dim() <= dim < x.dim() else []
        if not wants and failure.name in ("narrow", "unfold", "select", "split"):
            sizes = (
                sum(numbers[:-1])
                if failure.name == "split" and len(numbers) > 2
                else sum(numbers[1:3])
                if failure.name == "narrow"
                else numbers[1] + (failure.name == "select")
            )
            wants.append(Want("size" if failure.name == "split" else "least", x, dim, sizes, why=failure.name))
        return wants
    if failure.name == "unsqueeze":
        return [Want("rank", x, value=numbers[0] if numbers[0] >= 0 else -numbers[0] - 1, why="unsqueeze", cost=0.8)]
    bad = [n for n in numbers if not -x.dim() <= n < x.dim()]
    return [Want("rank", x, value=max(_rank_for(n) for n in bad), why=failure.name.strip("_"), cost=0.8)] if bad else []


def _rank_for(dim: int) -> int:
    return dim + 1 if dim >= 0 else -dim


def _flat(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _flat(item)] if isinstance(value, tuple | list) else [value]


def spectrum(failure: FailedOperation) -> list[Want]:
    """stft, fft, unfold of signals: long enough, floating."""
    x = failure.args[0]
    length = argument(failure, 1, "n_fft")
    wants = [] if x.is_floating_point() else [Want("kind", x, value="float", why=failure.name)]
    if failure.name == "stft" and x.dim() > 2:
        wants.append(Want("rank", x, value=2, template=("B", "A"), why="stft"))
    if isinstance(length, int) and x.dim() and x.shape[-1] < length:
        wants.append(Want("least", x, x.dim() - 1, length, why="stft window"))
    return wants


def resampling(failure: FailedOperation) -> list[Want]:
    x, mode = failure.args[0], failure.kwargs.get("mode", "nearest")
    rank = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "area": 4, "nearest": 4}.get(mode, 4)
    wants = [] if x.is_floating_point() else [Want("kind", x, value="float", why="interpolate")]
    return wants + ([Want("rank", x, value=rank, why=f"interpolate {mode}")] if x.dim() != rank else [])


def sampling(failure: FailedOperation) -> list[Want]:
    """grid_sample: for every point of the result the place in the picture, in [-1, 1]."""
    x, grid = argument(failure, 0, "input"), argument(failure, 1, "grid")
    if not isinstance(x, torch.Tensor) or not isinstance(grid, torch.Tensor):
        return []
    if x.dim() not in (4, 5):
        return [Want("rank", x, value=(4, 5), why=failure.name)]
    shape = (x.shape[0], *x.shape[2:], x.dim() - 2)
    if grid.dim() != x.dim():
        return [Want("like", grid, value="uniform", template=shape, why=failure.name, cost=0.6)]
    wants = [Want("like", grid, value="uniform", template=shape, why=failure.name, cost=0.6)]
    return wants + [
        size(grid, d, n, failure.name) for d, n in ((0, x.shape[0]), (x.dim() - 1, x.dim() - 2)) if grid.shape[d] != n
    ]


def matrices(failure: FailedOperation) -> list[Want]:
    """affine_grid: a matrix of two by three for a picture, of three by four for a volume."""
    theta, shape = argument(failure, 0, "theta"), argument(failure, 1, "size")
    if not isinstance(theta, torch.Tensor) or not isinstance(shape, tuple | list) or len(shape) not in (4, 5):
        return []
    axes = len(shape) - 2
    if theta.dim() != 3:
        template = (int(shape[0]), axes, axes + 1)
        return [
            Want("like", theta, value="normal", template=template, why=failure.name, cost=0.6),
            Want("rank", theta, value=3, template=("B", axes, axes + 1), why=failure.name, cost=0.7),
        ]
    return [size(theta, d, n, failure.name) for d, n in ((1, axes), (2, axes + 1)) if theta.shape[d] != n]


def padding(failure: FailedOperation) -> list[Want]:
    x, pads = failure.args[0], argument(failure, 1, "pad", ())
    mode = failure.kwargs.get("mode", failure.args[2] if len(failure.args) > 2 else "constant")
    wants: list[Want] = []
    axes = len(pads) // 2
    if mode != "constant" and x.dim() not in (axes + 1, axes + 2):
        wants.append(Want("rank", x, value=(axes + 2, axes + 1), why=f"pad {mode}"))
    for i in range(min(axes, x.dim())):
        needed = max(pads[2 * i], pads[2 * i + 1]) + 1
        if mode != "constant" and x.shape[-1 - i] < needed:
            wants.append(Want("least", x, x.dim() - 1 - i, needed, why=f"pad {mode}"))
    return wants
