"""Operations kept away from where they, or their derivatives, are infinite: by adding, not by clamping.

A clamp would leave a gradient of zero behind. What is added is scaled by the operand, because 1e-6 under a count makes an
explosion of 0 / 0, and counts are taken to be at least one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.records.finding import Finding

Guard = Callable[[Any, Any, Any, float], Any]
"""(function, args, kwargs, share of the operand's size that is added) -> the guarded result, or NotImplemented."""
_SMALL, _LARGE = 1e-6, 1e-3


def guard(patient: Patient, finding: Finding) -> Change | None:
    """An epsilon of a millionth of the operand's size at the operation that the finding names."""
    return _guarded(patient, finding, _SMALL, at=finding.names)


def large_guard(patient: Patient, finding: Finding) -> Change | None:
    """An epsilon of a thousandth, where the derivative near a millionth would still be too large."""
    return _guarded(patient, finding, _LARGE, at=finding.names)


def guard_everywhere(patient: Patient, finding: Finding) -> Change | None:
    """The same at every operation of the model that can make NaN or Inf: the first to make it may be fed by another."""
    return _guarded(patient, finding, _LARGE, at=None)


def _guarded(patient: Patient, finding: Finding, share: float, at: tuple[str, ...] | None) -> Change | None:
    if finding.rule not in ("nonfinite-gradient", "half-precision-overflow") or finding.cause == "weights":
        return None
    family = _family(finding.cause)
    if at is not None and family is None:
        return None
    done: dict[str, None] = {}

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        name = _family(getattr(func, "__name__", ""))
        if name is None or (at is not None and (name != family or layer not in at)):
            return NotImplemented
        out = GUARDS[name](func, args, kwargs, share)
        if out is not NotImplemented:
            done[layer] = None
        return out

    mode = edit(patient.model, editor)
    places = finding.names if at is not None else [""]
    what = _WORDS[family] if at is not None and family is not None else "an epsilon in every log, root, quotient and norm"
    return changed(f"{what}; eps = {share:.0e} of the operand's mean size", places, mode=mode, direct=True)


def _family(name: str) -> str | None:
    name = name.strip("_")
    return _FAMILIES.get(name, name if name in GUARDS else None)


_FAMILIES = {
    **dict.fromkeys(("rsqrt",), "sqrt"),
    **dict.fromkeys(("truediv", "rtruediv", "true_divide", "reciprocal", "divide", "itruediv", "rdiv"), "div"),
    **dict.fromkeys(("log2", "log10"), "log"),
    **dict.fromkeys(("asin", "arccos", "arcsin", "atanh", "erfinv"), "acos"),
    **dict.fromkeys(("rpow", "exp2", "expm1"), "exp"),
    **dict.fromkeys(("vector_norm", "linalg_norm", "linalg_vector_norm", "frobenius_norm"), "norm"),
    **dict.fromkeys(("ipow", "float_power"), "pow"),
    **dict.fromkeys(("rmul", "imul", "multiply"), "mul"),
    **dict.fromkeys(("rsub", "isub", "radd", "iadd", "subtract"), "sub"),
    **dict.fromkeys(("linear", "mm", "bmm"), "matmul"),
    "log_softmax": "softmax",
    **dict.fromkeys(("linalg_inv", "linalg_eigh", "linalg_eigvalsh", "linalg_svd", "linalg_svdvals", "svd"), "inverse"),
    **dict.fromkeys(("linalg_cholesky", "cholesky", "logdet", "linalg_slogdet", "slogdet", "linalg_solve"), "inverse"),
}
_WORDS = {
    "log": "log(x + eps)",
    "sqrt": "sqrt(x + eps)",
    "div": "x / (y + eps), counts clamped at 1",
    "norm": "the norm of x + eps",
    "std": "sqrt(var(x) + eps)",
    "pow": "(x.abs() + eps) ** p",
    "exp": "exp(x - x.amax().detach())",
    "acos": "acos((1 - eps) * x)",
    "softmax": "softmax with a large negative number for -inf",
    "logsumexp": "logsumexp with a large negative number for -inf",
    "inverse": "x + eps on its diagonal",
    "atan2": "atan2(y, x + eps)",
    "cdist": "cdist(x + eps, y)",
    **dict.fromkeys(("mul", "sub", "add", "matmul"), "torch.nan_to_num(constant, 0, 0, 0)"),
}


def _scale(x: torch.Tensor) -> torch.Tensor:
    """Mean absolute value over the finite entries, 1 where there are none but zeros."""
    size = x.detach().abs()
    size = torch.where(size.isfinite(), size, torch.zeros_like(size)).mean()
    return torch.where(size > 0, size, torch.ones_like(size))


def _positive(x: torch.Tensor, share: float) -> torch.Tensor:
    """x + eps for what is not negative; |x| + eps where it is, because there a root or logarithm has no value at all."""
    eps = share * _scale(x)
    return x + eps if bool((x.detach() >= 0).all()) else x.abs() + eps


def _first(args: Any, kwargs: Any) -> Any:
    return args[0] if args else kwargs.get("input")


def _unary(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    x = _first(args, kwargs)
    if not isinstance(x, torch.Tensor) or not x.is_floating_point() or x.numel() == 0:
        return NotImplemented
    return _plain(func)(_positive(x, share), *args[1:])


def _plain(func: Any) -> Any:
    """Not in place: its operand is another one now."""
    name = func.__name__
    in_place = name.endswith("_") and not name.startswith("__")
    return getattr(torch.Tensor, name.rstrip("_"), func) if in_place else func


def _options(kwargs: Any) -> dict[str, Any]:
    """Keyword arguments beside the operand."""
    return {name: value for name, value in kwargs.items() if name not in ("input", "A", "self")}


def _div(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    if func.__name__.strip("_") == "reciprocal":
        return torch.reciprocal(_away(args[0], share)) if args[0].is_floating_point() else NotImplemented
    if len(args) < 2 or not isinstance(args[1], torch.Tensor):
        return NotImplemented
    if func.__name__ == "__rtruediv__":
        return args[1] / _away(args[0], share)
    return torch.div(args[0], _away(args[1], share), **kwargs)


def _away(y: torch.Tensor, share: float) -> torch.Tensor:
    """A denominator away from zero; a count at least 1."""
    if not y.is_floating_point():
        return y.clamp(min=1) if bool((y >= 0).all()) else y
    values = y.detach()
    if bool((values >= 0).all() & (values == values.round()).all()) and not y.requires_grad:
        return y.clamp(min=1)
    eps = share * _scale(y)
    return y + torch.where(values < 0, -eps, eps)


def _norm(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    x = _first(args, kwargs)
    return func(x + share * _scale(x), *args[1:], **_options(kwargs))


def _std(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    if func.__name__ == "var":
        return NotImplemented
    x = _first(args, kwargs)
    variance = torch.var(x, *args[1:], **_options(kwargs))
    if not bool(variance.detach().isfinite().all()):  # of a single value: without Bessel's correction
        axes = args[1] if len(args) > 1 else kwargs.get("dim")
        variance = torch.var(x, axes, correction=0, keepdim=kwargs.get("keepdim", False))
    return torch.sqrt(variance + share * _scale(variance))


def _pow(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    x, p = args[0], args[1] if len(args) > 1 else kwargs.get("exponent")
    if not isinstance(x, torch.Tensor) or isinstance(p, int) and p >= 1:
        return NotImplemented
    return torch.pow(_positive(x, share), p)


def _exp(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    x = _first(args, kwargs)
    if func.__name__ == "__rpow__" or not isinstance(x, torch.Tensor):
        return NotImplemented
    return _plain(func)(x - x.detach().amax().clamp(min=0))


def _acos(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    x = _first(args, kwargs)
    return _plain(func)(x.clamp(-1, 1) * (1 - share))


def _masked(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    x = _first(args, kwargs)
    low = torch.finfo(x.dtype).min / 2
    return func(
        torch.where(torch.isneginf(x), torch.full_like(x, low), x),
        *args[1:],
        **_options(kwargs),
    )


def _diagonal(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    x = _first(args, kwargs)
    if not isinstance(x, torch.Tensor) or x.dim() < 2:
        return NotImplemented
    size = min(x.shape[-2:])
    # no two entries alike: singular values that are equal have no derivative of their own
    bump = torch.zeros(x.shape[-2:], dtype=x.dtype, device=x.device)
    bump.diagonal().copy_(torch.arange(1, size + 1) / size)
    return func(x + share * _scale(x) * bump, *args[1:], **_options(kwargs))


def _atan2(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    return torch.atan2(args[0], _away(args[1], share))


def _cdist(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    return func(args[0] + share * _scale(args[0]), *args[1:], **kwargs)


def _constants(func: Any, args: Any, kwargs: Any, share: float) -> Any:
    """Constants that hold Inf or NaN: 0 x Inf is NaN whatever is learnt."""
    broken = [x for x in args if isinstance(x, torch.Tensor) and not x.requires_grad and not bool(x.isfinite().all())]
    if not broken:
        return NotImplemented
    ids = set(map(id, broken))
    return func(*(torch.nan_to_num(x, 0.0, 0.0, 0.0) if id(x) in ids else x for x in args), **kwargs)


GUARDS: Mapping[str, Guard] = {
    **dict.fromkeys(("log", "sqrt"), _unary),
    **dict.fromkeys(("softmax", "logsumexp"), _masked),
    **dict.fromkeys(("mul", "sub", "add", "matmul"), _constants),
    "div": _div,
    "norm": _norm,
    "std": _std,
    "pow": _pow,
    "exp": _exp,
    "acos": _acos,
    "inverse": _diagonal,
    "atan2": _atan2,
    "cdist": _cdist,
}
