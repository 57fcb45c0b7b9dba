"""Whether a model is causal by design: what its attention shows, and what a Hugging Face configuration says."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradcheck_health.records.wording import a_kind

_LEAST = 4
"""Steps below which a triangle proves nothing."""
_EARLIER, _LATER = 1, -1
"""Steps that an attention attends to; 0: both."""
_SHUT = -1e4
"""Scores from here downwards are masked."""


class Attention:
    """Which calls of attention are causal, by the layer that makes them; layers of a stack with equal names are one kind."""

    def __init__(self) -> None:
        self._calls: list[tuple[str, int | torch.Tensor]] = []

    def observe(self, func: Any, args: Any, kwargs: Any, layer: str) -> None:
        """One call of a torch function in forward."""
        causal = _causal(func, args, kwargs)
        if causal is not None:
            self._calls.append((re.sub(r"\d+", "#", layer), causal))

    def causal_by_attention(self) -> str:
        """Why the model seems to be causal by design.

        All of its attention is, some layer of a stack is while its neighbours are not, or every mask is upside down. Some of
        each, as of a model that reads both ways, says nothing.
        """
        kinds: dict[str, set[int]] = {}
        for kind, way in self._calls:  # on an accelerator nothing waited for an answer until here
            kinds.setdefault(kind, set()).add(int(way))
        if any(seen == {0, _EARLIER} for seen in kinds.values()):
            return "some layers of a stack attend to earlier steps only"
        if kinds and all(seen == {_EARLIER} for seen in kinds.values()):
            return "its attention looks at earlier steps only"
        if kinds and all(seen == {_LATER} for seen in kinds.values()):
            return "its attention looks at later steps only, as under a causal mask that is upside down"
        return ""


class CausalSteps(TorchFunctionMode):
    """The numbers of steps over which attention looks one way only, while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        way = _causal(func, args, kwargs)
        if way is not None and int(way):
            first = args[0] if args else kwargs.get("query", kwargs.get("input"))
            by_step = func is torch.nn.functional.multi_head_attention_forward
            self.seen.add(int(first.shape[0 if by_step else -2]))
        return func(*args, **kwargs)


def causal_by_config(model: nn.Module) -> str:
    """Why the configuration says so; "" if it does not."""
    config = getattr(model, "config", None)
    if config is None or getattr(config, "is_encoder_decoder", False):
        return ""
    if type(model).__name__.endswith("ForCausalLM"):
        return f"it is {a_kind(model)}"
    return "its configuration has is_decoder=True" if getattr(config, "is_decoder", False) is True else ""


def _causal(func: Any, args: Any, kwargs: Any) -> int | torch.Tensor | None:
    """Which way it attends, or 0 for both; None for what is no attention of a sequence to itself."""
    if func is torch.nn.functional.scaled_dot_product_attention:
        query, key = (args[i] if len(args) > i else kwargs.get(name) for i, name in enumerate(("query", "key")))
        if query is None or key is None or query.shape[-2] != key.shape[-2] or query.shape[-2] < _LEAST:
            return None
        mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
        flag = args[5] if len(args) > 5 else kwargs.get("is_causal", False)
        return _EARLIER if flag else _triangular(mask)
    if func is torch.nn.functional.multi_head_attention_forward:
        query, key = args[:2]
        if query.shape[0] != key.shape[0] or query.shape[0] < _LEAST:
            return None
        mask = kwargs.get("attn_mask")
        return _EARLIER if kwargs.get("is_causal", False) else _triangular(mask, inverted=True)
    if func in (torch.softmax, torch.nn.functional.softmax, torch.Tensor.softmax):
        scores = args[0] if args else kwargs.get("input")
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if (
            scores.dim() < 3
            or scores.shape[-1] != scores.shape[-2]
            or scores.shape[-1] < _LEAST
            or dim not in (-1, scores.dim() - 1)
        ):
            return None
        return _triangular(scores)
    return None


def _triangular(mask: Any, inverted: bool = False) -> int | torch.Tensor:
    """Which way the first matrix of a mask or of scores attends: the last columns of its first rows are shut, or the reverse.

    A triangle that is off by a step or two counts as one: that is what the rule is to find.

    Args:
        inverted: a mask of booleans says True where it shuts.
    """
    if not isinstance(mask, torch.Tensor) or mask.dim() < 2 or mask.shape[-1] != mask.shape[-2] or mask.shape[-1] < _LEAST:
        return 0
    if mask.is_meta or mask.layout != torch.strided or torch._C._functorch.is_functorch_wrapped_tensor(mask):
        return 0
    with torch._C.DisableTorchFunction():
        matrix = mask.detach()[(0,) * (mask.dim() - 2)]
        shut = (matrix if inverted else ~matrix) if matrix.dtype == torch.bool else matrix <= _SHUT
        return _EARLIER * _looks_back(shut).int() + _LATER * _looks_back(shut.mT).int()


def _looks_back(shut: torch.Tensor) -> torch.Tensor:
    far = torch.ones_like(shut).triu(max(1, len(shut) // 2))
    past = torch.ones_like(shut).tril(-1)
    return (shut | ~far).all() & ~(shut & past).any()
