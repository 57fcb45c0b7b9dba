"""Operations that have no value, or no finite derivative, somewhere that an input may lead them to."""

from __future__ import annotations

from typing import Any

import torch

MASKED = "softmax"
"""Has no value where all is masked."""
FRAGILE = {
    **{name: name for name in ("sqrt", "rsqrt", "reciprocal", "std", "std_mean", "acos", "asin", "atan2", "cdist", "pow")},
    **dict.fromkeys(("log", "log2", "log10", "xlogy"), "log"),
    **dict.fromkeys(("norm", "vector_norm", "linalg_vector_norm", "linalg_norm", "dist"), "norm"),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__", "__rtruediv__", "div_"), "div"),
    **dict.fromkeys(("softmax", "log_softmax", "scaled_dot_product_attention", "multi_head_attention_forward"), MASKED),
    "__pow__": "pow",
}
"""torch's name of a function -> what it is called."""


def fragile(func: Any, args: Any) -> str:
    """What it is called; "" for a division by a number, and a power that has a derivative everywhere."""
    name = FRAGILE[func.__name__]
    other = args[0 if func.__name__ == "__rtruediv__" else 1] if len(args) > 1 or func.__name__ == "__rtruediv__" else None
    if name == "div":
        return name if isinstance(other, torch.Tensor) and other.dim() > 0 else ""
    if name == "pow":
        return name if isinstance(other, int | float) and other < 1 else ""
    return name
