"""Follows the samples through the operations of one forward pass, until one of them may join samples."""

from __future__ import annotations

import types
import weakref
from collections.abc import Container, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.nest import leaves, operand_tensors
from gradcheck_health.model.tree import modules
from gradcheck_health.probe.samples.operation import JOINED, Along, Operation, Unproven
from gradcheck_health.probe.samples.table import QUESTIONS, RULES, Rule, plain_name
from gradcheck_health.probe.samples.training_reads import TrainingReads

_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType)
_FIXED = ("view", "reshape", "flatten", "contiguous", "float", "to", "pad", "getitem")
"""Operations whose result has a shape that no entry decides, where their other arguments are numbers: it tells of no sample."""
_NORMS = ("batch_norm", "instance_norm")
"""In training mode they write into their running statistics, in eval mode they do not."""
_Entry = tuple["weakref.ref[torch.Tensor]", int, "Along | None"]
"""A tensor, its version, and where the samples lie in it; None where it is the same whatever they are."""
_NOTHING: _Entry = (weakref.ref(torch.empty(0)), 0, None)


class Samples:
    """Told of every function by the instrument, after the call.

    Where samples may meet, as in a loss, it goes on as long as nothing that can be an output, or decide a shape, follows.

    A tensor is known by its identity and version: what was written into by something that was not seen, or through another
    view of the same memory, is unknown from then on, and so is what something unseen has made.
    """

    rules: Mapping[str, Rule] = RULES

    def __init__(
        self, model: nn.Module, given: Iterable[tuple[torch.Tensor, int | None]], batch: int, reads: TrainingReads
    ) -> None:
        """Args: given: the tensors that go in, and the axis along which each holds `batch` samples; None: it holds none."""
        self._batch, self.proving = batch, True
        self._known: dict[int, _Entry] = {}
        self._reads = reads
        parts = modules(model)
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

    def follow(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """One call of a function of torch."""
        try:
            self._follow(func, args, kwargs, out)
        except Exception:  # noqa: BLE001 - an unusual call proves nothing
            results = operand_tensors(out)
            fixed = plain_name(func.__name__) in _FIXED and _is_of_torch(func) and not operand_tensors((args[1:], kwargs))
            self.proving = bool(results) and all(fixed or tensor.dim() == 0 for tensor in results)
            for tensor in results if self.proving else ():
                self._note(tensor, JOINED)

    def apart(self, output: Any) -> bool:
        """Every operation up to this output kept the samples apart, and they lie along one axis of it."""
        ends = self._ends([leaf.tensor for leaf in leaves(output)])
        return any(along is not None and along.inner == 1 for _, along in ends)

    def _ends(self, outputs: Iterable[torch.Tensor]) -> list[tuple[torch.Tensor, Along | None]]:
        """These outputs and where the samples lie in each; none where that is not proven of all of them.

        A loss is none of them: no sample has an entry of its own in it.
        """
        proving, self.proving = self.proving, False  # nothing that is asked from here on is forward's
        if not proving or not self._reads.alike():
            return []
        try:
            return [(one, self._of(one)) for one in outputs if one.is_floating_point() and one.dim()]
        except (Unproven, KeyError):
            return []

    def _follow(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        name = plain_name(func.__name__)
        operands = operand_tensors(args) + operand_tensors(kwargs) if kwargs else operand_tensors(args)
        results = operand_tensors(args[0] if name == "setitem" else out)
        if name == "set" and func.__self__ is torch.Tensor.requires_grad:
            return
        if not results and name in QUESTIONS and all(map(self._is_as_it_was, operands)):
            return
        into = args[1:3] if name in _NORMS else args[:1] if name == "setitem" else ()
        written = {id(out), *map(id, into)}  # where it is one of the operands
        known = {id(tensor): along for tensor in operands if (along := self._of(tensor, written)) is not None}
        if not known:
            for tensor in results:
                self._note(tensor, None)
            return
        if not _is_of_torch(func):
            raise Unproven
        answer = self.rules[name](Operation(args, kwargs, out, known, self._batch))
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
        if along is JOINED or ref() is not tensor or moved > (id(tensor) in written) or moved < 0:
            raise Unproven
        if moved:
            self._note(tensor, along)
        return along

    def _is_as_it_was(self, tensor: torch.Tensor) -> bool:
        """Its shape is known, also where samples have met in it."""
        ref, version, _ = self._known.get(id(tensor), _NOTHING)
        return ref() is tensor and version == tensor._version

    def _note(self, tensor: torch.Tensor, along: Along | None) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), tensor._version, along)


def _is_of_torch(func: Any) -> bool:
    return isinstance(func, _BUILT_IN) or (isinstance(func, types.FunctionType) and func.__module__.startswith("torch."))
