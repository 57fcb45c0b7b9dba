"""Follows the steps of a sequence as samples are followed: what keeps them apart, and attention to earlier ones, is causal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gradcheck_health.model.nest import leaves
from gradcheck_health.probe.samples.operation import Along, Answer, Operation, Unproven
from gradcheck_health.probe.samples.table import RULES, Rule
from gradcheck_health.probe.samples.tracker import Samples

LEAST = 4
"""Steps below which an axis is taken for none of them."""


def time_axis(tensor: torch.Tensor, steps: int) -> int | None:
    """The first axis of that size, if any."""
    return next((axis for axis, size in enumerate(tensor.shape) if size == steps), None)


def _attention(call: Operation) -> Answer:
    """scaled_dot_product_attention, [..., steps, features], each query to keys of no later step."""
    given = [call.get(i, name) for i, name in enumerate(("query", "key", "value"))]
    rank = given[0].dim()
    if any(one.dim() != rank or call.of(one) != Along(rank - 2) for one in given) or len(call.known) > len(set(map(id, given))):
        raise Unproven
    mask = call.get(3, "attn_mask")
    if not (call.get(5, "is_causal", False) is True and mask is None) and not _hides_later(mask, call.batch, shut=False):
        raise Unproven
    return Along(rank - 2)


def _multi_head(call: Operation) -> Answer:
    """`multi_head_attention_forward` takes [steps, samples, features] or [steps, features]; of a mask True shuts."""
    given = [call.get(i, name) for i, name in enumerate(("query", "key", "value"))]
    if any(call.of(one) != Along(0) for one in given) or len(call.known) > len(set(map(id, given))):
        raise Unproven
    extra = any(call.kwargs.get(name) is not None for name in ("static_k", "static_v")) or call.args[8] is not None
    if extra or call.args[9] or not _hides_later(call.kwargs.get("attn_mask"), call.batch, shut=True):
        raise Unproven
    weights = call.out[1]
    return Along(0), None if weights is None else Along(weights.dim() - 2)


def _hides_later(mask: Any, steps: int, *, shut: bool) -> bool:
    """No query sees a later key, and each sees one: scores that are all shut come out as a mean over all."""
    if not isinstance(mask, torch.Tensor) or mask.shape[-2:] != (steps, steps):
        return False
    with torch._C.DisableTorchFunction():
        values = mask.detach()
        hidden = (values if shut else ~values) if values.dtype == torch.bool else values <= torch.finfo(values.dtype).min / 2
        return bool(hidden.triu(1).sum() == hidden.numel() // steps**2 * (steps * (steps - 1) // 2)) and not bool(
            hidden.all(-1).any()
        )


class Steps(Samples):
    """Told of every function; `given` says along which axis the steps lie, `batch` how many there are."""

    rules: Mapping[str, Rule] = {
        **RULES,
        "scaled_dot_product_attention": _attention,
        "multi_head_attention_forward": _multi_head,
    }

    def in_order(self, output: Any) -> bool:
        """Every operation up to those of its tensors that have so many steps was causal, and there they lie."""
        sequences = [leaf.tensor for leaf in leaves(output) if time_axis(leaf.tensor, self._batch) is not None]
        ends = [(tensor, along) for tensor, along in self._ends(sequences) if along is not None]
        return bool(ends) and all(along == Along(time_axis(tensor, self._batch) or 0) for tensor, along in ends)
