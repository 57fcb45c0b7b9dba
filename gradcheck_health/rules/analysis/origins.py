"""Where NaN or Inf began: in words, with its place and what to do."""

from __future__ import annotations

from gradcheck_health.records.evidence import Nonfinite
from gradcheck_health.records.finding import Place
from gradcheck_health.records.trace import Trace

_HELP = {
    "softmax": "a row of -inf only has no softmax: leave one entry unmasked, or mask with a large negative number",
    "batch_norm": "its running variance is negative or not finite: reset it, or load the checkpoint again",
    "log": "add an epsilon inside: log(x + eps), or use log_softmax / log1p",
    "sqrt": "add an epsilon inside: its derivative at 0 is infinite, sqrt(x + eps)",
    "norm": "the derivative of a norm at 0 is not defined: add an epsilon, or use torch.nn.functional.normalize(eps=)",
    "div": "add an epsilon to the denominator, or clamp it away from 0",
    "exp": "subtract the maximum first (softmax, logsumexp), or clamp the exponent",
    "pow": "clamp the base away from 0 where the exponent is below 1",
    "std": "the derivative of std at 0 is not defined: add an epsilon to the variance",
    "acos": "clamp the argument inside (-1, 1): the derivative at the ends is infinite",
}
_ALIASES = {
    "rsqrt": "sqrt",
    "truediv": "div",
    "true_divide": "div",
    "reciprocal": "div",
    "log2": "log",
    "log10": "log",
    "asin": "acos",
}


def message(origin: Nonfinite) -> str:
    what = {"nan": "NaN", "inf": "Inf", "overflow": "overflow to Inf in half precision"}[origin.what]
    where = "the derivative of " if origin.phase == "backward" else ""
    return f"{where}{origin.op} makes {what} out of finite values in {origin.phase} (0 allowed)"


def place(origin: Nonfinite, trace: Trace) -> Place:
    layer = trace.layers.get(origin.layer)
    return Place(origin.layer, layer.kind if layer else "", origin.source, origin.op)


def advice(origin: Nonfinite) -> str:
    if origin.what == "overflow":
        return "run this part in float32 or bfloat16, or scale it down: float16 ends at 65504"
    name = origin.op.strip("_")
    name = _ALIASES.get(name, name)
    return next(
        (text for key, text in _HELP.items() if name.endswith(key)),
        "keep its input away from where it or its derivative is infinite",
    )
