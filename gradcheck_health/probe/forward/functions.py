"""What the functions of a forward pass show: units of activations, rows of softmaxes, the size of a batch norm's batch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch

from gradcheck_health.model.source.lines import user_line
from gradcheck_health.probe.forward import activations, normalisations
from gradcheck_health.probe.forward.activations import EXPONENTIALS, FUNCTIONS, SOFTMAX, Function
from gradcheck_health.probe.forward.attention_scores import ATTENTION, scores_of
from gradcheck_health.probe.forward.draws import DRAWS, lost_draw
from gradcheck_health.probe.forward.softmax_rows import Rows, normalised_axis
from gradcheck_health.probe.forward.units import Units
from gradcheck_health.records.severed import Draw

_LOOK_BACK = 8
"""How many operations lie at most between a unit's layer and its activation (norm, dropout, reshape, scale)."""
_PRODUCERS = ("linear", "conv", "matmul", "bmm", "addmm", "baddbmm", "embedding", "einsum", "lstm", "gru")
WATCHED: frozenset[Any] = frozenset(
    {
        *FUNCTIONS,
        *SOFTMAX,
        *EXPONENTIALS,
        *activations.RECTIFIERS,
        *ATTENTION,
        *normalisations.COUNTS,
        *DRAWS,
        torch.nn.functional.batch_norm,
    }
)
BATCH_NORM_VALUES = 8
"""Through a batch norm in training mode with fewer values a channel the flow says nothing about the model."""


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a call before it is made: an in-place activation replaces its input's values and node."""

    function: Function | None
    """The activation that it is; None for a softmax."""
    maker: Any
    """Autograd node of its input."""
    before: torch.Tensor | None


class Functions:
    """Told of every function in `WATCHED` by the instrument."""

    def __init__(self, operations: Mapping[Any, tuple[str, str]]) -> None:
        """Args: operations: autograd node -> (layer, function that made it), of every function so far."""
        self._operations = operations
        self.units: dict[tuple[Any, ...], Units] = {}
        """By layer, function, producer, number of units and call site."""
        self.rows: dict[tuple[str, str, str], Rows] = {}
        """By (layer, producer, function) of a softmax, or of a normalisation over single values."""
        self.batch_norm_values: int | None = None
        """Fewest values per channel that a batch norm in training mode saw."""
        self.draws: dict[Draw, None] = {}
        self.gaps: dict[str, None] = {}
        self.before = False
        """Also keep what goes into rectifiers, which costs a copy of each."""

    def given(self, func: Any, args: Any, kwargs: Any) -> Given | None:
        """Before the call; None for what is neither an activation nor a softmax, or takes what learns nothing: a mask."""
        function = activations.applied(func, args, kwargs)
        if function is None and func not in SOFTMAX:
            return None
        tensor = args[0] if args else kwargs.get("input")
        if not isinstance(tensor, torch.Tensor) or not tensor.requires_grad:
            return None
        before = tensor.detach().clone() if self.before and function is not None else None
        return Given(function, tensor.grad_fn, before)

    def observe(self, func: Any, args: Any, kwargs: Any, out: torch.Tensor, layer: str, given: Given | None) -> None:
        """After the call, with the first tensor that it returned."""
        if given is not None:
            if not _plain(out):
                self.gaps[f"the units of {func.__name__} in {layer or 'the model'}, on a tensor of an unusual kind"] = None
            elif given.function is not None:
                self._activation(given.function, out, layer, given, args, kwargs)
            else:
                self._softmax(out, layer, given.maker, args, kwargs)
        elif func in ATTENTION:
            self._attention(func, out, layer, args, kwargs)
        elif func is torch.nn.functional.batch_norm:
            self._batch_norm(out, args, kwargs)
        elif func in DRAWS:
            if name := lost_draw(func, args, kwargs):
                self.draws[Draw(name, layer, user_line())] = None
        elif func in EXPONENTIALS:
            self._exponential(args[0] if args else kwargs["input"], out, layer)
        elif normalisations.entries_per_group(func, args, kwargs) == 1 and out.numel():
            self._rows(layer, None, func.__name__).alone(out.numel())

    def _activation(self, function: Function, out: torch.Tensor, layer: str, given: Given, args: Any, kwargs: Any) -> None:
        values = out.detach()
        bounds = function.bounds(args, kwargs)
        if bounds is None or values.numel() == 0 or values.dim() == 0 or not values.is_floating_point() or values.is_meta:
            return
        producer, made_by = self._producer(given.maker)
        axis = activations.unit_axis(values.dim(), made_by)
        key = (layer, function.name, producer, values.shape[axis], *_call_site())
        units = self.units.get(key)
        if units is None:
            units = self.units[key] = Units(layer, producer, function, len(self.units) + len(self.rows))
        units.add(values, axis, bounds)
        if given.before is not None:
            units.add_before(given.before, axis)

    def _softmax(self, out: torch.Tensor, layer: str, maker: Any, args: Any, kwargs: Any) -> None:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if not isinstance(dim, int) or out.dim() == 0 or out.numel() == 0 or out.is_meta:
            return
        scores = args[0] if args else kwargs["input"]
        self._rows(layer, maker).add(out.detach(), dim, scores.detach())

    def _exponential(self, logarithm: torch.Tensor, out: torch.Tensor, layer: str) -> None:
        """Of log-probabilities: of what something was subtracted from, the logarithm of a sum."""
        node = out.grad_fn
        below = node.next_functions[0][0] if node is not None and node.next_functions else None
        if below is not None and below.name().startswith(("Sub", "LogSoftmax")) and _plain(out) and not out.is_meta:
            axis = normalised_axis(out.detach())
            if axis is not None:
                self._rows(layer, below).add(out.detach(), axis, logarithm.detach())

    def _attention(self, func: Any, out: torch.Tensor, layer: str, args: Any, kwargs: Any) -> None:
        """The softmax of a fused attention is out of sight."""
        if out.is_meta or not _plain(out):
            return
        with contextlib.suppress(RuntimeError, TypeError, IndexError):  # arguments of an unusual form
            seen = scores_of(func, args, kwargs)
            if seen is not None:
                self._rows(layer, None).add(seen.softmax(-1), -1, seen)

    def _rows(self, layer: str, maker: Any, function: str = "softmax") -> Rows:
        key = (layer, self._producer(maker)[0], function)
        return self.rows.setdefault(key, Rows(*key, order=len(self.units) + len(self.rows)))

    def _producer(self, node: Any) -> tuple[str, str]:
        """(layer, function) of the linear, convolution or the like whose units an activation sees."""
        for _ in range(_LOOK_BACK):
            if node is None:
                break
            layer, function = self._operations.get(node, ("", ""))
            if function.startswith(_PRODUCERS):
                return layer, function
            node = next((following for following, _ in node.next_functions if following is not None), None)
        return "", ""

    def _batch_norm(self, out: torch.Tensor, args: Any, kwargs: Any) -> None:
        training = kwargs.get("training", args[5] if len(args) > 5 else False)
        if training and out.dim() > 1:
            values = out.numel() // max(out.shape[1], 1)
            self.batch_norm_values = min(values, self.batch_norm_values or values)


def _plain(tensor: torch.Tensor) -> bool:
    """Dense, and not inside a torch.func transform."""
    return (
        tensor.layout == torch.strided and not tensor.is_nested and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def _call_site() -> tuple[int, ...]:
    """Tells two calls on different lines apart, and takes the turns of a loop for one."""
    # Three frames are the measure of a "place": the line in forward, and the two calls that led to it, so that one helper
    # called from two lines is two places. `f_lasti` is the position in the bytecode: two calls on one line differ, turns of
    # a loop do not. Four frames up is the user's code: this function, its caller, and the two of the function mode. A
    # wrapper changes the count; another function mode on the way, as an edit is, does not: it is stepped over.
    frame: FrameType | None = sys._getframe(4)
    site: list[int] = []
    while frame is not None and len(site) < 3:
        site.append(frame.f_lasti)
        inner, frame = frame.f_code, frame.f_back
        while frame is not None and frame.f_code.co_name == "__torch_function__":
            frame = frame.f_back
            while frame is not None and (frame.f_code.co_name == "handle_torch_function" or frame.f_code is inner):
                frame = frame.f_back
    return tuple(site)
