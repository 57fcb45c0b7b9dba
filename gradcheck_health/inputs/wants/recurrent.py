"""What torch's recurrent layers want: they check their input in Python, before any operation."""

from __future__ import annotations

from types import FrameType
from typing import Any

import torch
from torch import nn

from gradcheck_health.inputs.plan import Dim
from gradcheck_health.inputs.wants.want import Want
from gradcheck_health.model.source.frames import receiver


def recurrent_wants(frame: FrameType) -> list[Want]:
    """Rank and width of the input, shapes of the states; nothing where the frame belongs to another module."""
    module: Any = receiver(frame)
    x = frame.f_locals.get("input")
    wants: list[Want] = []
    if not isinstance(module, nn.RNNBase | nn.RNNCellBase) or not isinstance(x, torch.Tensor):
        return wants
    cell = isinstance(module, nn.RNNCellBase)
    if not x.is_floating_point():
        wants.append(Want("kind", x, value="float", why="recurrent layer", cost=0.7))
    batch_first = getattr(module, "batch_first", False)
    width = int(module.input_size)
    template: tuple[Dim, ...] = ("B", width) if cell else ("B", "T", width) if batch_first else ("T", "B", width)
    if x.dim() != len(template):
        wants.append(Want("rank", x, value=len(template), template=template, why="recurrent layer", cost=0.8))
    elif x.shape[-1] != width:
        wants.append(Want("size", x, x.dim() - 1, width, why="recurrent input_size", cost=0.8))
    hidden = frame.f_locals.get("hx")
    for state in hidden if isinstance(hidden, tuple) else (hidden,):
        if isinstance(state, torch.Tensor) and state.dim():
            wants += _state(module, state, x.shape[0 if cell or batch_first or x.dim() < 2 else 1])
    return wants


def _state(module: Any, state: torch.Tensor, batch: int) -> list[Want]:
    if isinstance(module, nn.RNNCellBase):
        dims: tuple[Dim, ...] = ("B", int(module.hidden_size))
    else:
        dims = (module.num_layers * (2 if module.bidirectional else 1), "B", int(module.hidden_size))
    if state.dim() != len(dims):
        return [Want("rank", state, value=len(dims), template=dims, why="recurrent state")]
    expected = [batch if dim == "B" else int(dim) for dim in dims]
    return [
        Want("size", state, d, wanted, why="recurrent state", cost=0.9)
        for d, wanted in enumerate(expected)
        if state.shape[d] != wanted
    ]
