"""Steps between an argument and its first layer, and what the argument looked like before them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradcheck_health.inputs.plan import Dim, Group, Leaf


@dataclass(frozen=True, slots=True)
class Step:
    """One reordering method between the argument and its first layer."""

    name: str
    numbers: tuple[int, ...]
    parts: tuple[str | None, ...] = ()
    """Of a concatenation: the arguments that are put together; None for anything else."""


def undo(leaf: Leaf, steps: tuple[Step, ...]) -> Leaf | Group | None:
    """The shape before `steps` that gives `leaf` after them; a list of such shapes where it is one element of a list."""
    dims: list[Dim] = list(leaf.dims)
    listed = [step.numbers[0] for step in steps if step.name == "element"]
    try:
        for step in reversed(steps):
            dims = _undo_one(dims, step)
    except IndexError:
        return None
    found = replace(leaf, dims=tuple(dims))
    return Group(tuple((i, found) for i in range(listed[0])), "list") if len(listed) == 1 else None if listed else found


def _undo_one(dims: list[Dim], step: Step) -> list[Dim]:
    """The dimensions before a step of which `dims` are the dimensions behind."""
    # A convolution that is fed `x.transpose(1, 2)` wants [B, C, L], so x is [B, L, C]: the same transposition again. A step
    # that names a third axis where two are known shows that there is one more: steps `T`, between the batch and the
    # features.
    numbers = step.numbers
    if step.name in ("transpose", "swapaxes") and len(numbers) == 2:
        if max(numbers) >= len(dims) == 2:
            dims = [dims[0], "T", dims[1]]
        dims[numbers[0]], dims[numbers[1]] = dims[numbers[1]], dims[numbers[0]]
    elif step.name == "permute":
        if len(numbers) != len(dims):
            raise IndexError(numbers)
        before: list[Dim] = [0] * len(dims)
        for new, old in enumerate(numbers):
            before[old] = dims[new]
        dims = before
    elif step.name == "unbind":
        part = dims.pop(0)
        dims.insert(_place(numbers[0], dims), part)
    elif step.name == "unsqueeze" and len(dims) > 1:
        if len(dims) == 2 and numbers[0] in (1, 2):  # features of steps, of which there is one
            dims = [dims[0], "T", dims[1]]
        del dims[numbers[0]]
    elif step.name == "taken":
        if dims == ["B", "T"] and numbers[0] == 1:  # ids: a column, or a step, of a row of them
            dims = ["B", numbers[1] or "T"]
        elif numbers[0] <= len(dims):
            dims.insert(numbers[0], numbers[1] or "T")
        else:
            raise IndexError(numbers)
    elif step.name == "squeeze" and numbers:
        dims.insert(_place(numbers[0], dims), 1)
    return dims


def _place(axis: int, dims: list[Dim]) -> int:
    """Where an axis is put into the others; a negative one counts from the end of the result."""
    return axis if axis >= 0 else len(dims) + 1 + axis
