"""Along which axis of a result the samples lie: of what computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from gradcheck_health.probe.samples.operation import Along, Answer, Operation, Unproven, dims_of


def broadcast(call: Operation) -> Answer:
    """Entry by entry: the axes of all operands, counted from the last, meet."""
    found = None
    for operand in (*call.args, *call.kwargs.values()):
        if (along := call.of(operand)) is None:
            continue
        shift = call.out.dim() - operand.dim()
        moved = replace(along, axis=along.axis + shift) if shift else along  # of most operations nothing moves
        if found is not None and found != moved:
            raise Unproven
        found = moved
    return all_met(call, found)


def all_met(call: Operation, found: Along | None) -> Along:
    operands = {id(operand) for operand in (*call.args, *call.kwargs.values())}
    if found is None or not call.known.keys() <= operands:
        raise Unproven
    return found


def reduced(call: Operation) -> Answer:
    """Along some axes that stay apart from that of the samples; they may go."""
    tensor, along = call.input()
    dims = dims_of(call.kwargs.get("dim", call.kwargs.get("axis", call.args[1] if len(call.args) > 1 else None)), tensor.dim())
    if along.axis in dims or (len(call.args) > 2 and type(call.args[2]) is int):  # flip(0, 1)
        raise Unproven
    first = call.out[0] if isinstance(call.out, tuple | list) else call.out
    gone = 0 if first.dim() == tensor.dim() else sum(one < along.axis for one in dims)
    answer = replace(along, axis=along.axis - gone)
    return [answer] * len(call.out) if isinstance(call.out, tuple | list) else answer


def norm_of(call: Operation) -> Answer:
    """`norm(x, p, dim)`: the order comes before the axes."""
    return reduced(replace(call, args=(call.args[0], *call.args[2:])))


def at(axes: int) -> Callable[[Operation], Answer]:
    """Acts on the last `axes` axes, and keeps those before."""

    def rule(call: Operation) -> Answer:
        tensor, along = call.input()
        if along.axis >= tensor.dim() - axes or call.out.dim() != tensor.dim():
            raise Unproven
        return along

    return rule


def linear(call: Operation) -> Answer:
    tensor, along = call.input()
    if along.axis == tensor.dim() - 1:
        raise Unproven
    return along


def spatial(axes: int) -> Callable[[Operation], Answer]:
    """Convolutions and pooling: samples first, channels, then `axes` axes."""

    def rule(call: Operation) -> Answer:
        tensor, along = call.input()
        if along.axis != 0 or tensor.dim() != axes + 2:
            raise Unproven
        return [along] * len(call.out) if isinstance(call.out, tuple | list) else along

    return rule


def first(call: Operation) -> Answer:
    """Samples, channels, and axes that are acted on."""
    tensor, along = call.input()
    if along.axis != 0 or tensor.dim() < 3:
        raise Unproven
    return along


def batch_norm(call: Operation) -> Answer:
    """In eval mode; without running statistics it takes those of the batch there too."""
    tensor = call.get(0, "input")
    along = call.of(tensor)
    if along is None or len(call.known) > 1 or along.axis != 0 or call.get(1, "running_mean") is None:
        raise Unproven
    return along


def layer_norm(call: Operation) -> Answer:
    tensor, along = call.input()
    if along.axis >= tensor.dim() - len(call.get(1, "normalized_shape")):
        raise Unproven
    return along


def group_norm(call: Operation) -> Answer:
    tensor, along = call.input()
    if along.axis != 0 or tensor.dim() < 2:
        raise Unproven
    return along


def embedding(call: Operation) -> Answer:
    ids, weight = call.get(0, "input"), call.get(1, "weight")
    if call.of(ids) is None or call.of(weight) is not None or call.get(3, "max_norm") is not None:
        raise Unproven
    return call.of(ids)


def matmul(call: Operation) -> Answer:
    left, right = (
        call.get(0, "input"),
        call.args[1] if len(call.args) > 1 else call.kwargs.get("other", call.kwargs.get("mat2")),
    )
    a, b = call.of(left), call.of(right)
    if (a is not None and a.axis == left.dim() - 1) or (b is not None and b.axis == max(right.dim() - 2, 0)):
        raise Unproven  # it is summed over
    if min(left.dim(), right.dim()) == 1:
        if a is None or b is not None:
            raise Unproven
        return a
    rank = call.out.dim()
    found = {replace(one, axis=one.axis + rank - of.dim()) for one, of in ((a, left), (b, right)) if one is not None}
    (along,) = found if len(found) == 1 else unproven()
    if a is not None and b is not None and along.axis >= rank - 2:
        raise Unproven
    return along


def one_hot(call: Operation) -> Answer:
    """With a number of classes; without one the largest of all samples says it."""
    _, along = call.input()
    if call.get(1, "num_classes", -1) == -1:
        raise Unproven
    return along


def unproven() -> Any:
    raise Unproven


def added_product(call: Operation) -> Answer:
    """addmm and baddbmm; what is added to the product lies as it does."""
    added = call.get(0, "input")
    left, right = (call.get(i, f"mat{i}", call.kwargs.get(f"batch{i}")) for i in (1, 2))
    along, beside = matmul(replace(call, args=(left, right), kwargs={})), call.of(added)
    if beside is not None and replace(beside, axis=beside.axis + call.out.dim() - added.dim()) != along:
        raise Unproven
    return along


def einsum(call: Operation) -> Answer:
    equation, *operands = call.args
    operands = [*operands[0]] if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        raise Unproven
    terms, result = equation.replace(" ", "").split("->")
    letters = {
        (term[along.axis], along.inner)
        for term, operand in zip(terms.split(","), operands, strict=True)
        if (along := call.of(operand)) is not None
    }
    if len(letters) != 1 or not call.known.keys() <= {id(operand) for operand in operands}:
        raise Unproven
    ((letter, inner),) = letters
    if any(term.count(letter) > 1 for term in terms.split(",")):
        raise Unproven
    return Along(result.index(letter), inner)


def attention(call: Operation) -> Answer:
    """scaled_dot_product_attention; a mask lies against the scores, [..., steps, steps]."""
    given = [call.get(i, name) for i, name in enumerate(("query", "key", "value"))]
    mask = call.get(3, "attn_mask")
    along, rank = call.of(given[0]), given[0].dim()
    if along is None or along.axis >= rank - 2 or any(call.of(one) != along or one.dim() != rank for one in given):
        raise Unproven
    masked = call.of(mask)
    if masked is not None and replace(masked, axis=masked.axis + rank - mask.dim()) != along:
        raise Unproven
    return along


def multi_head(call: Operation) -> Answer:
    """`multi_head_attention_forward` takes [steps, samples, features]."""
    given = [call.get(i, name) for i, name in enumerate(("query", "key", "value"))]
    mask = call.kwargs.get("key_padding_mask")
    if any(one.dim() != 3 or call.of(one) != Along(1) for one in given) or call.of(mask) not in (None, Along(0)):
        raise Unproven
    if not call.known.keys() <= {*map(id, given), id(mask)}:
        raise Unproven
    return Along(1), Along(0)


def recurrent(call: Operation) -> Answer:
    """lstm and gru of torch, not those of packed sequences."""
    sequence, state, weights, *_, batch_first = call.args
    first = Along(0 if batch_first is True else 1)
    states = [state] if isinstance(state, torch.Tensor) else state
    if not isinstance(weights, list | tuple) or sequence.dim() != 3 or call.of(sequence) != first:
        raise Unproven
    if any(call.of(one) not in (None, Along(1)) for one in states) or not call.known.keys() <= {id(sequence), *map(id, states)}:
        raise Unproven
    return (first, *[Along(1)] * (len(call.out) - 1))
