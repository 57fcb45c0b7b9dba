"""Which summands of the loss have no gradient although they move with the parameters?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import GradhealthError
from gradcheck_health.records.losses import LossTerm
from gradcheck_health.records.trace import Trace

_ADDS = frozenset({"add", "__add__", "__radd__", "__iadd__", "add_", "sub", "__sub__", "__rsub__", "rsub", "__isub__", "sub_"})
_EXITS = frozenset({"item", "tolist", "numpy", "__float__", "__array__"})
_SCALES = frozenset(
    ("mul", "__mul__", "__rmul__", "div", "true_divide", "neg", "to", "float", "clone", "squeeze", "mul_", "div_")
)
"""After these a tensor that was detached is still what its author detached."""
_KICK = 0.5
"""What counts, compares or rounds moves in jumps: a small kick would show nothing."""
_KICKS = 3
"""A count may come out the same by chance."""
_SMALL = 1e-4
"""A term whose movement is below this share of the loss is none."""


@dataclass(frozen=True, slots=True)
class _Term:
    value: float
    op: str
    source: str | None


def loss_terms(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with the terms: the loss is evaluated with the weights as they are, and with noise on them."""
    try:
        loss, given = _terms(subject, None)
        others = [terms for seed in range(_KICKS) if len(terms := _terms(subject, seed)[1]) == len(given)]
    except (GradhealthError, RuntimeError):
        return (trace.only(),)
    if loss is None or not math.isfinite(loss):
        return (trace.only(),)
    size = max(abs(loss), 1e-30)
    found = [
        LossTerm(one.op, one.value, abs(one.value) / size, one.source)
        for i, one in enumerate(given)
        if one.op != "detach" and any(abs(terms[i].value - one.value) > _SMALL * size for terms in others)
    ]
    return (trace.only(terms=tuple(dict.fromkeys(found))),)


def _terms(subject: Subject, kick: int | None) -> tuple[float | None, list[_Term]]:
    with sandbox(subject.model):
        if kick is not None:
            _move(subject.model, kick)
        with eager(), _Additions() as seen:
            output = call(subject.model, subject.inputs, subject.seed)
            goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
        return goal.value, seen.terms


def _move(model: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad and not is_lazy(p) and p.is_floating_point():
                noise = torch.randn(p.shape, generator=generator).to(p.device, p.dtype)
                p.add_(noise * (_KICK * p.detach().float().square().mean().sqrt()).to(p.dtype))


class _Additions(TorchFunctionMode):
    """Scalars without a gradient that are added to scalars with one, and the operations that they lost it in."""

    def __init__(self) -> None:
        super().__init__()
        self.terms: list[_Term] = []
        self._lost = WeakIdKeyDictionary()
        """Tensor -> (operation, line) after which it had no gradient."""
        self._numbers: list[tuple[float, str, str | None]] = []
        """What was taken out of tensors, as numbers of Python."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        out = func(*args, **(kwargs or {}))
        if name == "__get__":
            name = getattr(func.__self__, "__name__", "")
            if name != "data":
                return out
            name = "detach"
        tensors = [one for one in _flat(args) if isinstance(one, torch.Tensor)]
        if name in _EXITS and isinstance(out, int | float) and not isinstance(out, bool):
            lost = next((self._lost.get(one) for one in tensors if one in self._lost), None)  # type: ignore[no-untyped-call]
            self._numbers.append((float(out), *(lost or (name, user_line()))))
        for one in out if isinstance(out, tuple | list) else (out,):
            if isinstance(one, torch.Tensor) and not one.requires_grad:
                self._follow(name, tensors, one)
        if name in _ADDS and isinstance(out, torch.Tensor) and out.requires_grad and out.numel() == 1 and len(args) == 2:
            self._added(args, kwargs or {})
        return out

    def _follow(self, name: str, inputs: list[torch.Tensor], out: torch.Tensor) -> None:
        if any(one.requires_grad for one in inputs):
            known = name if torch.is_grad_enabled() or name == "detach" else "no_grad"
            self._lost[out] = (known, user_line())
            return
        before = next((self._lost[one] for one in inputs if one in self._lost), None)
        if before is not None:
            op, source = before
            # an author who detaches a term and adds it knows; one who computes a term from what was detached may not
            self._lost[out] = (op if op != "detach" or name in _SCALES else "detached", source)

    def _added(self, args: Any, kwargs: Any) -> None:
        for one in args:
            if isinstance(one, torch.Tensor):
                if not one.requires_grad and one.numel() == 1:
                    op, source = self._lost.get(one, ("", None))  # type: ignore[no-untyped-call]
                    self.terms.append(_Term(float(one), op, source or user_line()))
            elif isinstance(one, int | float) and not isinstance(one, bool):
                op, source = next((spot for value, *spot in self._numbers if value and _multiple(one, value)), ["item", None])
                self.terms.append(_Term(float(one), str(op), source or user_line()))


def _multiple(number: float, value: float) -> bool:
    """`number` is `value` times a factor that somebody wrote down."""
    factor = number / value
    return abs(factor - float(f"{factor:.4g}")) <= 1e-12 * abs(factor)


def _flat(value: Any, depth: int = 0) -> Any:
    for one in value:
        if isinstance(one, tuple | list) and depth < 3:
            yield from _flat(one, depth + 1)
        else:
            yield one
