"""What forward writes behind autograd: over its own parameters, and over values that the graph already holds."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from gradcheck_health.model.names import NamedParameter, named_parameters
from gradcheck_health.model.source.frames import CALLERS
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.records.writes import Overwritten, Rewritten

_FUNCTION = torch.autograd.function.__file__
_NO_VALUES = frozenset(("requires_grad_", "detach_", "share_memory_"))
_HARMLESS = frozenset(
    # masks of scores, whose entries pass nothing afterwards, and the old spelling of a straight-through estimator
    ("masked_fill_", "round_", "sign_", "floor_", "ceil_", "copy_", "set_")
)


@dataclass(slots=True)
class _Pending:
    """A write that is about to happen."""

    values: torch.Tensor
    """What is written into."""
    before: torch.Tensor
    op: str


class Writes:
    """Told of every function by the instrument, before and after the call."""

    def __init__(self, model: nn.Module) -> None:
        self.overwritten: list[Overwritten] = []
        self._model = model
        self._storages: dict[int, NamedParameter] | None = None
        self._first: dict[str, tuple[NamedParameter, torch.Tensor, str, str, str | None]] = {}
        self._aliases = WeakIdKeyDictionary()
        """What detach() and .data returned of a result that carries a gradient."""

    def shares(self, func: Any, args: Any, out: Any) -> None:
        """A call of detach(), or an attribute that was read."""
        of = args[0] if args else None
        named_data = func.__name__ != "__get__" or getattr(func.__self__, "__name__", "") == "data"
        if named_data and isinstance(of, torch.Tensor) and isinstance(out, torch.Tensor) and of.grad_fn is not None:
            self._aliases[out] = True

    def before(self, func: Any, args: Any, layer: str) -> _Pending | None:
        """None for what writes nothing that counts."""
        name, target = func.__name__, args[0] if args else None
        sets = name == "__set__" and getattr(func.__self__, "__name__", "") == "data"
        if name in _NO_VALUES:
            return None
        in_place = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
        if not (sets or in_place) or not isinstance(target, torch.Tensor) or target.layout != torch.strided or target.is_meta:
            return None
        if in_place and target.requires_grad and torch.is_grad_enabled():
            return None  # autograd knows
        if not target.is_floating_point() and not target.is_complex():
            return None  # a counter, a mask: no gradient is behind it
        with torch._C.DisableTorchFunction():
            owner = self._owner(target)
            if owner is not None:
                op = "data =" if sets else name
                self._first.setdefault(owner.name, (owner, owner.tensor.detach().clone(), op, layer, user_line()))
                return None
            held = target in self._aliases or (target.requires_grad and target.grad_fn is not None)
            if not held or sets or name in _HARMLESS or _in_custom_function():
                return None
            return _Pending(target, target.detach().clone(), name)

    def after(self, pending: _Pending, layer: str) -> None:
        with torch._C.DisableTorchFunction():
            changed = int((pending.values.detach() != pending.before).sum())
        if changed:
            self.overwritten.append(Overwritten(pending.op, layer, user_line(), changed / pending.before.numel()))

    def rewritten(self) -> tuple[Rewritten, ...]:
        """The parameters whose values forward has changed."""
        return tuple(
            Rewritten(name, op, layer, source)
            for name, (owner, values, op, layer, source) in self._first.items()
            if owner.tensor.shape != values.shape or not torch.equal(owner.tensor.detach(), values)
        )

    def _owner(self, target: torch.Tensor) -> NamedParameter | None:
        if self._storages is None:
            entries = [entry for entry in named_parameters(self._model) if entry.tensor.requires_grad]
            self._storages = {address: entry for entry in entries if (address := _address(entry.tensor))}
        return self._storages.get(_address(target))


def _in_custom_function() -> bool:
    """Inside an autograd.Function, which has its own backward for what it does."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in CALLERS:
        if frame.f_code.co_filename == _FUNCTION and frame.f_code.co_name == "apply":
            return True
        frame = frame.f_back
    return False


def _address(tensor: torch.Tensor) -> int:
    """Of the storage; 0 where there is none."""
    if tensor.layout != torch.strided or tensor.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return 0
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError, ValueError):  # a lazy parameter, a subclass without values
        return 0
