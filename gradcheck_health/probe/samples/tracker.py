"""Follows the samples through the operations of one forward pass, until one of them may join samples."""

from __future__ import annotations

import contextlib
import types
import weakref
from collections.abc import Container, Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.nest import leaves, operand_tensors
from gradcheck_health.model.tree import modules
from gradcheck_health.probe.samples.operation import Along, Operation, Unproven
from gradcheck_health.probe.samples.table import QUESTIONS, RULES, plain_name
from gradcheck_health.probe.samples.training_reads import TrainingReads

_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType)
_NORMS = ("batch_norm", "instance_norm")
"""In training mode they write into their running statistics, in eval mode they do not."""
_Entry = tuple["weakref.ref[torch.Tensor]", int, "Along | None"]
"""A tensor, its version, and where the samples lie in it; None where it is the same whatever they are."""


class Samples:
    """Told of every function by the instrument, after the call.

    A tensor is known by its identity and version: what was written into by something that was not seen, or through another
    view of the same memory, is unknown from then on, and so is what something unseen has made.
    """

    def __init__(self, model: nn.Module, given: Iterable[tuple[torch.Tensor, int | None]], batch: int) -> None:
        """Args: given: the tensors that go in, and the axis along which each holds `batch` samples; None: it holds none."""
        self._batch, self.proving = batch, True
        self._known: dict[int, _Entry] = {}
        self._reads = TrainingReads()
        parts = modules(model)
        self._in_training = any(vars(module).get("training") for module in parts)
        try:
            for tensor, axis in given:
                self._note(tensor, None if axis is None else Along(axis % tensor.dim()))
            for module in parts:
                self.proving &= not isinstance(module, torch.jit.ScriptModule)
                for own in (*module._parameters.values(), *module._buffers.values()):
                    if own is not None and not is_lazy(own):
                        self._note(own, None)
        except (RuntimeError, AttributeError):  # inference tensors do not count what is written into them
            self.proving = False

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Around the call of the model."""
        with self._reads.noticed() if self.proving and self._in_training else contextlib.nullcontext():
            yield

    def follow(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """One call of a function of torch."""
        try:
            self._follow(func, args, kwargs, out)
        except Exception:  # noqa: BLE001 - an unusual call proves nothing
            self.proving = False

    def apart(self, output: Any) -> bool:
        """Every operation up to this output kept the samples apart, and they lie along one axis of it."""
        if not self.proving or not self._reads.alike():
            return False
        self.proving = False  # nothing that is asked from here on is forward's
        try:
            found = [self._of(leaf.tensor) for leaf in leaves(output) if leaf.tensor.is_floating_point()]
        except (Unproven, KeyError):
            return False
        return any(along is not None and along.inner == 1 for along in found)

    def _follow(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        name = plain_name(func.__name__)
        written = {id(out), *map(id, args[1:3] if name in _NORMS else ())}  # where it is one of the operands
        known = {
            id(tensor): along for tensor in operand_tensors((args, kwargs)) if (along := self._of(tensor, written)) is not None
        }
        results = list(operand_tensors(out))
        if not known:
            for tensor in results:
                self._note(tensor, None)
            return
        if not results and name in QUESTIONS:
            return
        if not (isinstance(func, _BUILT_IN) or (isinstance(func, types.FunctionType) and func.__module__.startswith("torch."))):
            raise Unproven
        answer = RULES[name](Operation(args, kwargs, out, known, self._batch))
        places = [answer] * len(results) if answer is None or isinstance(answer, Along) else list(answer)
        for tensor, along in zip(results, places, strict=False):
            if along is not None and tensor.shape[along.axis] != self._batch * along.inner:
                raise Unproven
            self._note(tensor, along)
        if len(places) < len(results):
            raise Unproven

    def _of(self, tensor: torch.Tensor, written: Container[int] = ()) -> Along | None:
        """Args: written: ids of what the call has just written into, once."""
        ref, version, along = self._known[id(tensor)]
        moved = tensor._version - version
        if ref() is not tensor or moved > (id(tensor) in written) or moved < 0:
            raise Unproven
        if moved:
            self._note(tensor, along)
        return along

    def _note(self, tensor: torch.Tensor, along: Along | None) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), tensor._version, along)
