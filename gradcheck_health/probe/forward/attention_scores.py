"""What the softmax inside a fused attention is taken of: the scores of some of the queries, worked out beside it."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
import torch.nn.functional as F

_FUSED = inspect.signature(F.multi_head_attention_forward)
_SEQUENCES = 4
"""Batch entries (and heads, where they lie apart) that are examined; two where their keys have to be projected again."""
_QUERIES = 32

ATTENTION: frozenset[Any] = frozenset({F.scaled_dot_product_attention, F.multi_head_attention_forward})


def scores_of(func: Any, args: Any, kwargs: Any) -> torch.Tensor | None:
    """[rows, keys], masked; None where they cannot be determined from the arguments."""
    with torch.no_grad():
        scores = _scores(*args, **kwargs) if func is F.scaled_dot_product_attention else _projected(args, kwargs)
        return None if scores is None else scores.flatten(0, -2)


def _scores(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor | None:
    """[sequences, queries, keys]; the arguments are those of scaled_dot_product_attention."""
    lead, (length, width), keys = query.shape[:-2], query.shape[-2:], key.shape[-2]
    total = math.prod(lead)
    if key.is_nested or query.is_nested or not total * length * keys:
        return None
    step = -(-length // _QUERIES)
    places = [_unravel(index, lead) for index in _spread(total, _SEQUENCES)]
    q = torch.stack([query[place][::step] for place in places]).float()
    k = torch.stack([key[_shared(place, lead, key.shape[:-2])] for place in places]).float()
    scores = q @ k.mT * (1 / math.sqrt(width) if scale is None else scale)
    if attn_mask is not None:
        mask = attn_mask.expand(*lead, length, keys)
        scores = _masked(scores, torch.stack([mask[place][::step] for place in places]), shut=False)
    if is_causal:
        later = torch.arange(keys, device=q.device) > torch.arange(0, length, step, device=q.device).unsqueeze(1)
        scores = _masked(scores, later, shut=True)
    return scores


def _projected(args: Any, kwargs: Any) -> torch.Tensor | None:
    """[sequences, heads, queries, keys] of multi_head_attention_forward, which takes its batch along axis 1."""
    given = _FUSED.bind(*args, **kwargs)
    given.apply_defaults()
    a = given.arguments
    query, key, heads = a["query"], a["key"], a["num_heads"]
    if a["static_k"] is not None or a["bias_k"] is not None or a["add_zero_attn"]:
        return None
    if query.dim() == 2:
        query, key = query.unsqueeze(1), key.unsqueeze(1)
    (length, batch, width), keys = query.shape, key.shape[0]
    if not length * batch * keys:
        return None
    weights = (a["q_proj_weight"], a["k_proj_weight"]) if a["use_separate_proj_weight"] else a["in_proj_weight"].chunk(3)[:2]
    biases = (None, None) if a["in_proj_bias"] is None else a["in_proj_bias"].chunk(3)[:2]
    rows, some = _spread(length, _QUERIES), _spread(batch, _SEQUENCES // 2)
    q = F.linear(query[rows][:, some], weights[0], biases[0]).float()
    k = F.linear(key[:, some], weights[1], biases[1]).float()
    q, k = (x.reshape(*x.shape[:2], heads, width // heads).permute(1, 2, 0, 3) for x in (q, k))
    scores: torch.Tensor = q @ k.transpose(2, 3) / math.sqrt(width // heads)
    if a["attn_mask"] is not None:
        mask = a["attn_mask"].expand(batch * heads, length, keys).reshape(batch, heads, length, keys)
        scores = _masked(scores, mask[some][:, :, rows], shut=True)
    if a["key_padding_mask"] is not None:
        scores = _masked(scores, a["key_padding_mask"].reshape(batch, 1, 1, keys)[some].expand_as(scores), shut=True)
    return scores


def _masked(scores: torch.Tensor, mask: torch.Tensor, shut: bool) -> torch.Tensor:
    """Args: shut: a mask of booleans says True where it shuts, and not where it lets pass."""
    if mask.dtype != torch.bool:
        return scores + mask
    return scores.masked_fill(mask if shut else ~mask, -math.inf)


def _spread(size: int, most: int) -> list[int]:
    """At most `most` indices below `size`, evenly strided."""
    return list(range(0, size, -(-size // most)))


def _unravel(index: int, shape: torch.Size) -> tuple[int, ...]:
    found: list[int] = []
    for size in reversed(shape):
        found.insert(0, index % size)
        index //= size
    return tuple(found)


def _shared(place: tuple[int, ...], lead: torch.Size, others: torch.Size) -> tuple[int, ...]:
    """Where the keys of a query lie: groups of heads share theirs, and an axis of size 1 serves all."""
    place, lead = place[len(place) - len(others) :], lead[len(lead) - len(others) :]
    return tuple(index // max(size // other, 1) for index, size, other in zip(place, lead, others, strict=True))
