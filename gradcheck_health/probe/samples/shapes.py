"""Along which axis of a result the samples lie: of what moves entries without computing."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import Any

import torch

from gradcheck_health.probe.samples.operation import Along, Answer, Operation, Unproven, dims_of


def view(call: Operation) -> Answer:
    """Entries keep their order: the axis is where as many come before it, and it holds whole samples."""
    tensor, along = call.input()
    before, shape = math.prod(tensor.shape[: along.axis]), call.out.shape
    for axis, size in enumerate(shape):
        if math.prod(shape[:axis]) == before and size != 1:
            if size % call.batch:
                raise Unproven
            return Along(axis, size // call.batch)
    raise Unproven


def permute(call: Operation) -> Answer:
    tensor, along = call.input()
    given = call.kwargs.get("dims", call.args[1:])
    order = given[0] if len(given) == 1 and not isinstance(given[0], int) else given
    places = [one % tensor.dim() for one in order]
    if sorted(places) != list(range(tensor.dim())):
        raise Unproven
    return replace(along, axis=places.index(along.axis))


def transpose(call: Operation) -> Answer:
    tensor, along = call.input()
    a, b = (value % tensor.dim() for value in (call.get(1, "dim0"), call.get(2, "dim1")))
    return replace(along, axis={a: b, b: a}.get(along.axis, along.axis))


def turned(call: Operation) -> Answer:
    """t() of a matrix."""
    tensor, along = call.input()
    return replace(along, axis=1 - along.axis) if tensor.dim() == 2 else along


def squeeze(call: Operation) -> Answer:
    tensor, along = call.input()
    dims = call.get(1, "dim")
    chosen = set(range(tensor.dim())) if dims is None else dims_of(dims, tensor.dim())
    return replace(along, axis=along.axis - sum(tensor.shape[one] == 1 for one in chosen if one < along.axis))


def unsqueeze(call: Operation) -> Answer:
    tensor, along = call.input()
    return replace(along, axis=along.axis + (call.get(1, "dim") % (tensor.dim() + 1) <= along.axis))


def expand(call: Operation) -> Answer:
    tensor, along = call.input()
    return replace(along, axis=along.axis + call.out.dim() - tensor.dim())


def split(call: Operation) -> Answer:
    """chunk, split, tensor_split: parts along another axis."""
    tensor, along = call.input()
    if call.get(2, "dim", 0) % tensor.dim() == along.axis:
        raise Unproven
    return [along] * len(call.out)


def unbind(call: Operation) -> Answer:
    tensor, along = call.input()
    dim = call.get(1, "dim", 0) % tensor.dim()
    if dim == along.axis:
        raise Unproven
    return [replace(along, axis=along.axis - (dim < along.axis))] * len(call.out)


def joined(call: Operation, stacked: bool) -> Answer:
    parts = [part for part in call.get(0, "tensors") if part.shape != (0,)]  # what a cache begins with
    found = {along for part in parts if (along := call.of(part)) is not None}
    rank = parts[0].dim()
    dim = call.get(1, "dim", 0) % (rank + stacked)
    if len(found) != 1 or not call.known.keys() <= {id(part) for part in parts} or any(part.dim() != rank for part in parts):
        raise Unproven
    (along,) = found
    if not stacked and dim == along.axis and len(parts) > 1:
        raise Unproven
    return replace(along, axis=along.axis + (stacked and dim <= along.axis))


def taken(call: Operation) -> Answer:
    """x[...]: whole samples, and slices, numbers and new axes elsewhere."""
    index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if isinstance(index[0], torch.Tensor):
        return _one_each(call, index)
    tensor, along = call.input()
    if not all(one is None or one is Ellipsis or type(one) in (int, slice) for one in index):
        raise Unproven
    spread = tensor.dim() - sum(one is not None and one is not Ellipsis for one in index)
    place, axis = 0, 0  # in the tensor, in the result
    for one in (*index, *(() if any(each is Ellipsis for each in index) else (Ellipsis,))):
        if one is None:
            axis += 1
            continue
        width = spread if one is Ellipsis else 1
        if place <= along.axis < place + width:
            if one is not Ellipsis and (type(one) is int or not _whole(one, tensor.shape[along.axis])):
                raise Unproven
            return replace(along, axis=axis + along.axis - place)
        place, axis = place + width, axis + (0 if type(one) is int else width)
    raise Unproven


def _one_each(call: Operation, index: tuple[Any, ...]) -> Along:
    """x[torch.arange(samples), places]: of each sample one place, wherever that is."""
    if call.of(call.args[0]) != Along(0) or not all(isinstance(one, torch.Tensor) and one.dim() == 1 for one in index):
        raise Unproven
    first, *places = index
    with torch._C.DisableTorchFunction():
        counted = first.dtype == torch.long and torch.equal(first, torch.arange(call.batch, device=first.device))
    if not counted or call.of(first) is not None or any(call.of(one) not in (None, Along(0)) for one in places):
        raise Unproven
    return Along(0)


def written(call: Operation) -> Answer:
    """x[...] = y: where the samples lie in x already, or where those of y come to lie."""
    tensor, index, value = call.args
    if not call.known.keys() <= {id(tensor), id(value)}:
        raise Unproven  # what is written to depends on the samples
    held, along = call.of(tensor), call.of(value)
    if along is None:
        return held
    parts = index if isinstance(index, tuple) else (index,)
    rank = tensor.dim() - sum(type(one) is int for one in parts) + sum(one is None for one in parts)
    moved = replace(along, axis=along.axis + rank - value.dim())
    places = [Along(axis, along.inner) for axis, size in enumerate(tensor.shape) if size == call.batch * along.inner]
    for place in places if held is None else [held]:
        with contextlib.suppress(Unproven):
            if taken(replace(call, args=(tensor, index), known={id(tensor): place})) == moved:
                return place
    raise Unproven


def gathered(call: Operation) -> Answer:
    """gather: of each sample some of its own entries."""
    tensor, dim, index = (call.get(i, name) for i, name in enumerate(("input", "dim", "index")))
    found = {along for one in (tensor, index) if (along := call.of(one)) is not None}
    if len(found) != 1 or {along.axis for along in found} == {dim % tensor.dim()}:
        raise Unproven
    return found.pop()


def _whole(part: slice, size: int) -> bool:
    bounds = (part.start, part.stop, part.step)
    return all(one is None or type(one) is int for one in bounds) and range(*part.indices(size)) == range(size)


def repeated(call: Operation) -> Answer:
    tensor, along = call.input()
    given = call.kwargs.get("repeats", call.args[1:])
    times = given[0] if len(given) == 1 and not isinstance(given[0], int) else given
    axis = along.axis + len(times) - tensor.dim()
    if times[axis] != 1:
        raise Unproven
    return replace(along, axis=axis)


def padded(call: Operation) -> Answer:
    tensor, along = call.input()
    if along.axis >= tensor.dim() - len(call.get(1, "pad")) // 2:
        raise Unproven
    return along


def rolled(call: Operation) -> Answer:
    tensor, along = call.input()
    if along.axis in dims_of(call.get(2, "dims"), tensor.dim()):
        raise Unproven
    return along


def narrowed(call: Operation) -> Answer:
    tensor, along = call.input()
    if call.get(1, "dim") % tensor.dim() == along.axis:
        raise Unproven
    return along


def selected(call: Operation) -> Answer:
    tensor, along = call.input()
    dim = call.get(1, "dim") % tensor.dim()
    if dim == along.axis:
        raise Unproven
    return replace(along, axis=along.axis - (dim < along.axis))
