"""The stages of a pipeline (`torch.distributed.pipelining`) as one model, of which every rank holds a part.

The batch goes through the stages one after another, in one piece: what a schedule makes of micro-batches is the same sum.
So each stage's gradients come from the loss at the end. Every rank is handed the output of the last stage, so that all of them
start from one objective.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.distributed.waiting import patience
from gradcheck_health.model.tree import STAGE, named_modules
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.wording import a_kind

_Tensors = tuple[torch.Tensor, ...]


class Pipeline(nn.Module):
    """Takes what the first stage takes, returns what the last one returns, on every rank of the pipeline's group."""

    def __init__(self, stages: Sequence[Any], loss: Any = None) -> None:
        """Args: stages: the `PipelineStage` objects of this rank; loss: the one that the schedule was given."""
        super().__init__()
        self.places = [int(one.stage_index) for one in stages]
        """Which stages lie here, in their order."""
        self.loss = loss
        first = stages[0]
        self._count, self._group, self._device = int(first.num_stages), first.group, first.device
        self._holder = [_world_rank(first.stage_index_to_group_rank[k], self._group) for k in range(self._count)]
        shared = _names_of_several([name for one in stages for name, _ in one.submod.named_parameters()], self._group)
        for one in stages:
            self.add_module(f"stage{one.stage_index}" if shared else f"{STAGE}{one.stage_index}", one.submod)

    def stages(self) -> list[tuple[int, nn.Module]]:
        """(number, module) of those that lie here."""
        return list(zip(self.places, self.children(), strict=True))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        before, after = self._holder, [*self._holder[1:], None]
        given: tuple[Any, ...] = args
        token = torch.zeros(())
        for place, stage in self.stages():
            here = self._holder[place]
            if place and before[place - 1] != here:
                anchors = (token, token) if token.requires_grad else (_leaf(), _leaf())
                token, *received = _Receive.apply(*anchors, before[place - 1], self._group, self._device)  # type: ignore[no-untyped-call]
                given = tuple(received)
            made = stage(*given, **(kwargs if place == 0 else {}))
            given = made if isinstance(made, tuple) else tuple(made) if isinstance(made, list) else (made,)
            if not all(isinstance(one, torch.Tensor) for one in given):
                raise UsageError(
                    f"stage {place} returned {a_kind(made)}; stages of a pipeline return tensors, or a tuple of them"
                )
            if token.grad_fn is None or _reaches(given, token.grad_fn):
                token = torch.zeros(())  # backward comes there anyway
            if after[place] not in (None, here):
                token = _Send.apply(after[place], self._group, self._device, token, *given)  # type: ignore[no-untyped-call]
        output = self._delivered(token, given)
        return output[0] if len(output) == 1 else output

    def _delivered(self, token: torch.Tensor, given: _Tensors) -> _Tensors:
        """The output of the last stage, on every rank."""
        if len(set(self._holder)) == 1:
            return given
        made_here = given if self._count - 1 in self.places else ()
        delivered: _Tensors = _Deliver.apply(self._holder[-1], self._group, self._device, token, *made_here)  # type: ignore[no-untyped-call]
        return delivered


def as_model(made: Any) -> Any:
    """A stage, or a schedule with its stages, as one model; anything else as it is.

    Known by their attributes, so that torch.distributed is not imported for it.
    """
    found = getattr(made, "_stages", None) or [getattr(made, "_stage", made)]
    if not isinstance(found, list) or not all(hasattr(one, "submod") and hasattr(one, "stage_index") for one in found):
        return made
    return Pipeline(sorted(found, key=lambda one: one.stage_index), getattr(made, "_loss_fn", None))


def stage_of(model: nn.Module) -> dict[str, int] | None:
    """Path of each module that lies here -> the number of its stage; None where it is no pipeline."""
    if not isinstance(model, Pipeline):
        return None
    names = {id(module): name for name, module in named_modules(model)}
    return {names[id(module)]: place for place, stage in model.stages() for module in stage.modules()}


def _leaf() -> torch.Tensor:
    return torch.zeros((), requires_grad=True)


def _reaches(outputs: Sequence[torch.Tensor], node: Any) -> bool:
    """The graph above the outputs leads to a node."""
    waiting, seen = [one.grad_fn for one in outputs if one.grad_fn is not None], set()
    while waiting:
        if (one := waiting.pop()) is node:
            return True
        if one not in seen:
            seen.add(one)
            waiting += [below for below, _ in one.next_functions if below is not None]
    return False


class _Receive(torch.autograd.Function):
    """What the stage before sends; backward sends it the gradients, and says which there are none of.

    It takes two tensors that want a gradient: one so that backward comes here, and with one alone it would look like what only
    prepares a parameter.
    """

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, _: torch.Tensor, source: int, group: Any, device: Any) -> Any:
        ctx.set_materialize_grads(False)
        ctx.where = source, group, device
        tensors, learning = _receive(*ctx.where)
        ctx.learning = learning
        ctx.mark_non_differentiable(*(one for one, learns in zip(tensors, learning, strict=True) if not learns))
        return (torch.zeros(()), *tensors)

    @staticmethod
    def backward(ctx: Any, _: Any, *gradients: torch.Tensor | None) -> Any:
        if any(ctx.learning):
            _send([one for one, learns in zip(gradients, ctx.learning, strict=True) if learns], (), *ctx.where)
        return torch.zeros(()), None, None, None, None


class _Send(torch.autograd.Function):
    """Sends to the stage behind; backward waits for its gradients.

    The token leads to where this rank has to send gradients next, though nothing that it sends here depends on it: others wait.
    """

    @staticmethod
    def forward(ctx: Any, target: int, group: Any, device: Any, token: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        ctx.where = target, group, device
        ctx.learning = ctx.needs_input_grad[4:]
        _send(list(tensors), ctx.learning, *ctx.where)
        return torch.zeros(())

    @staticmethod
    def backward(ctx: Any, _: Any) -> Any:
        arrived = iter(_receive(*ctx.where)[0]) if any(ctx.learning) else iter(())
        return (None, None, None, torch.zeros(()), *(next(arrived) if learns else None for learns in ctx.learning))


class _Deliver(torch.autograd.Function):
    """The last stage's output on all ranks; where it was made, gradients go through."""

    @staticmethod
    def forward(ctx: Any, source: int, group: Any, device: Any, token: torch.Tensor, *tensors: torch.Tensor) -> Any:
        import torch.distributed as dist

        ctx.set_materialize_grads(False)
        ctx.own = dist.get_rank() == source
        ctx.count = len(tensors)
        told: list[Any] = [[_described(one, learns) for one, learns in zip(tensors, ctx.needs_input_grad[4:], strict=True)]]
        dist.broadcast_object_list(told, source, group, device)
        made = []
        for (shape, dtype, learns), one in zip(told[0], tensors if ctx.own else told[0], strict=True):
            data = _bytes(one) if ctx.own else _room(shape, _dtype(dtype), device)
            if data.numel():
                dist.broadcast(data, source, group)
            made.append(one.view_as(one) if ctx.own else _tensor(data, shape, _dtype(dtype)))
            if not learns:
                ctx.mark_non_differentiable(made[-1])
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        return (None, None, None, torch.zeros(()), *(gradients if ctx.own else [None] * ctx.count))


def _send(tensors: Sequence[torch.Tensor | None], learning: Sequence[bool], to: int, group: Any, device: Any) -> None:
    import torch.distributed as dist

    told = [None if one is None else _described(one, bool(learning) and learning[k]) for k, one in enumerate(tensors)]
    text = torch.frombuffer(bytearray(json.dumps(told).encode()), dtype=torch.uint8).to(device)
    parts = [_bytes(one) for one in tensors if one is not None and one.numel()]
    for data in (_bytes(torch.tensor(len(text), device=device)), text, *parts):
        dist.isend(data, to, group).wait(patience())  # type: ignore[union-attr]


def _receive(source: int, group: Any, device: Any) -> tuple[list[Any], list[bool]]:
    """The tensors, None where there is none, and which of them a gradient is asked for."""
    import torch.distributed as dist

    def arrived(data: torch.Tensor) -> torch.Tensor:
        dist.irecv(data, source, group).wait(patience())  # type: ignore[union-attr]
        return data

    size = int(arrived(_room((), torch.int64, device)).view(torch.int64))
    told = json.loads(bytes(arrived(_room((size,), torch.uint8, device)).tolist()))
    found = [None if one is None else _room(one[0], _dtype(one[1]), device) for one in told]
    tensors = [
        None if room is None else _tensor(arrived(room) if room.numel() else room, one[0], _dtype(one[1]))
        for room, one in zip(found, told, strict=True)
    ]
    return tensors, [one is not None and one[2] for one in told]


def _dtype(name: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, name)
    return found


def _described(tensor: torch.Tensor, learns: bool) -> tuple[list[int], str, bool]:
    return list(tensor.shape), str(tensor.dtype).removeprefix("torch."), learns


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """As every backend can send it."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _room(shape: Sequence[int], dtype: torch.dtype, device: Any) -> torch.Tensor:
    return _bytes(torch.empty(shape, dtype=dtype, device=device))


def _tensor(data: torch.Tensor, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    return data.view(dtype).reshape(tuple(shape))


def _world_rank(rank: int, group: Any) -> int:
    import torch.distributed as dist

    return rank if group is None else dist.get_global_rank(group, rank)


def _names_of_several(names: Sequence[str], group: Any) -> bool:
    """A parameter of one stage is called as one of another: `0.weight`, where each stage is an `nn.Sequential` of its own."""
    import torch.distributed as dist

    told: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(told, list(names), group=group)
    return max(Counter(name for one in told for name in one).values(), default=0) > 1
