"""The second, slower look: which line ran each operation, where NaN began, and where the graph lost a parameter.

Values are followed from the parameters in question through every operation, whether autograd follows or not. A parameter is
*live* in a tensor if a gradient can flow back from there. An operation whose inputs are live and whose output is not, is a cut.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary

from gradcheck_health.evidence import Cut, Nonfinite
from gradcheck_health.probe.objective import leaves
from gradcheck_health.probe.passes import CALLER, is_user_file
from gradcheck_health.probe.statistics import plain

FLAT = frozenset(
    {
        "round",
        "round_",
        "sign",
        "sgn",
        "floor",
        "floor_",
        "ceil",
        "trunc",
        "heaviside",
        "fix",
        "floor_divide",
        "bernoulli",
        "bernoulli_",
    }
)
"""Differentiable in name, with a derivative that is zero everywhere."""
_VIEWS = frozenset({"data", "T", "mT", "H", "mH", "real", "imag"})
"""Attributes that hand out a tensor; the others are sizes and flags."""
_EXITS = frozenset({"numpy", "tolist", "item", "__array__", "__float__", "__int__", "__bool__", "__index__"})


@dataclass(frozen=True, slots=True)
class _Descent:
    """What a tensor came from, as bit sets: parameters that it depends on, those still live in it, cuts that it lies behind."""

    influence: int = 0
    live: int = 0
    cuts: int = 0

    def __or__(self, other: _Descent) -> _Descent:
        return _Descent(self.influence | other.influence, self.live | other.live, self.cuts | other.cuts)


_NOTHING = _Descent()


class Provenance:
    """Told of every operation by the instrument; knows lines, origins of NaN and cuts afterwards."""

    def __init__(self, followed: Mapping[str, torch.Tensor]) -> None:
        self.sources: dict[Any, str] = {}
        """Autograd node -> `file:line`."""
        self.nonfinite: list[Nonfinite] = []
        self._names = list(followed)
        self._descent = WeakIdKeyDictionary()
        for bit, tensor in enumerate(followed.values()):
            self._descent[tensor] = _Descent(1 << bit, 1 << bit)
        self._used = 0
        self._cuts: list[tuple[str, str, str | None, int]] = []
        self._exits: list[tuple[str, str, str | None, int]] = []

    def saw(self, func: Any, args: Any, kwargs: Any, out: Any, layer: str) -> None:
        """One call of a torch function in forward."""
        name = func.__name__
        if name == "__get__":
            name = getattr(func.__self__, "__name__", "")
            if name not in _VIEWS:
                return
        elif name == "__set__" or name.endswith("_like") or name.startswith("new_"):
            return  # takes a shape and no values
        inputs = [*_tensors(args), *_tensors(tuple(kwargs.values()))]
        outputs = list(_tensors((out,)))
        source = user_line()
        for tensor in outputs:
            if tensor.grad_fn is not None and source is not None:
                self.sources.setdefault(tensor.grad_fn, source)
        self._look_for_nonfinite(name, inputs, outputs, layer, source)
        came = _NOTHING
        for tensor in inputs:
            came = came | self._of(tensor)
        if came.influence == 0:
            return
        if outputs or name in _EXITS:  # asking for a dtype is no use
            self._used |= came.influence
        if name in _EXITS:
            self._exits.append((name, layer, source, came.influence))
        changed = [args[0]] if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) else []
        live = [tensor for tensor in outputs if tensor.requires_grad]
        for tensor in live or outputs or changed:  # of several outputs those carry the values that carry the gradient
            self._follow(name, came, tensor, layer, source)
        for tensor in changed:  # a view that is written to changes what it is a view of
            if isinstance(tensor, torch.Tensor) and tensor._base is not None:
                self._descent[tensor._base] = self._of(tensor._base) | self._of(tensor)

    def _follow(self, name: str, came: _Descent, tensor: torch.Tensor, layer: str, source: str | None) -> None:
        live = came.live if tensor.requires_grad and name not in FLAT else 0
        lost, cuts = came.live & ~live, came.cuts
        if lost:
            label = name if torch.is_grad_enabled() or name in ("detach", "data") else "no_grad"
            self._cuts.append((label, layer, source, lost))
            cuts |= 1 << (len(self._cuts) - 1)
        self._descent[tensor] = _Descent(came.influence, live, cuts)

    def _of(self, tensor: torch.Tensor) -> _Descent:
        found: _Descent = self._descent.get(tensor, _NOTHING)  # type: ignore[no-untyped-call]
        if found.influence and not found.live and tensor.requires_grad and hasattr(type(tensor.grad_fn), "_forward_cls"):
            # a custom autograd.Function computes without a graph inside, and is joined to the graph when it returns
            found = self._descent[tensor] = dataclasses.replace(found, live=found.influence, cuts=0)
        return found

    def _look_for_nonfinite(
        self, name: str, inputs: Sequence[Any], outputs: Sequence[Any], layer: str, source: str | None
    ) -> None:
        if self.nonfinite:
            return
        kinds = [kind for tensor in outputs if (kind := nonfinite_kind(tensor)) is not None]
        if not kinds:
            return
        given = [kind for tensor in inputs if (kind := nonfinite_kind(tensor)) is not None]
        half = any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in outputs)
        what = "overflow" if kinds[0] == "inf" and half else kinds[0]
        # masks are filled with -inf on purpose: Inf counts once something is computed from it, unless it came out of arithmetic
        if kinds[0] == "inf" and (name in _FILLS or given):
            return
        if not given or kinds[0] == "nan" and "nan" not in given:
            self.nonfinite.append(Nonfinite("forward", name, layer, source, what))

    def cuts(self, output: Any) -> tuple[Cut, ...]:
        """The cuts behind which values arrive in the output; those that nothing behind arrives from come last."""
        arrived = _NOTHING
        for leaf in leaves(output):
            arrived = arrived | self._of(leaf.tensor)
        found = []
        for bit, (op, layer, source, lost) in enumerate(self._cuts):
            if arrived.cuts >> bit & 1:
                found.append(Cut(op, layer, source, self._parameters(lost), True, op in FLAT))
        explained = {name for cut in found for name in cut.parameters}
        for (
            op,
            layer,
            source,
            influence,
        ) in self._exits:  # numpy values cannot be followed: believed where nothing else explains
            names = tuple(name for name in self._parameters(influence & ~arrived.influence) if name not in explained)
            if names:
                found.append(Cut(op, layer, source, names, True))
        return tuple(found)

    @property
    def used(self) -> frozenset[str]:
        """The followed parameters that some operation took."""
        return frozenset(self._parameters(self._used))

    def _parameters(self, bits: int) -> tuple[str, ...]:
        return tuple(name for bit, name in enumerate(self._names) if bits >> bit & 1)


_FILLS = frozenset(
    {"full", "full_like", "masked_fill", "masked_fill_", "fill_", "new_full", "tensor", "where", "__setitem__", "triu", "tril"}
)


def nonfinite_kind(tensor: Any) -> str | None:
    """nan, inf, or None."""
    if not isinstance(tensor, torch.Tensor) or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return None
    values = plain(tensor)
    if values is None or values.numel() == 0:
        return None
    if bool(torch.isnan(values).any()):
        return "nan"
    return "inf" if bool(torch.isinf(values).any()) else None


def user_line() -> str | None:
    """`file:line` of the innermost frame inside forward that is not torch's; the path is relative where it lies below here."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != CALLER:
        if is_user_file(frame.f_code.co_filename):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def place(filename: str, line: int) -> str:
    here = os.path.relpath(filename) if os.path.isabs(filename) else filename
    return f"{filename if here.startswith('..') else here}:{line}"


def _tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list) and depth < 4:
        for item in value:
            yield from _tensors(item, depth + 1)
    elif isinstance(value, dict) and depth < 4:
        yield from _tensors(tuple(value.values()), depth + 1)
