"""What a failing einops call wanted of its tensor: rank and divisibility."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import FrameType

import torch

from gradcheck_health.inputs.plan import USUAL
from gradcheck_health.inputs.static.einops_patterns import axes, lengths_of
from gradcheck_health.inputs.wants.want import Want


def pattern_wants(frames: list[tuple[FrameType, int]]) -> Iterator[Want]:
    """Rank and divisibility that the einops call in these frames wanted."""
    for frame, _ in frames:
        if "einops" not in frame.f_code.co_filename:
            continue
        values = frame.f_locals
        owner = values.get("self")
        pattern = values.get("pattern", getattr(owner, "pattern", None))
        tensor = next((values[n] for n in ("tensor", "input", "x") if isinstance(values.get(n), torch.Tensor)), None)
        if not isinstance(pattern, str) or tensor is None or "..." in pattern:
            continue
        left = axes(pattern.split("->")[0])
        known = lengths_of(values.get("axes_lengths", getattr(owner, "axes_lengths", {})))
        if tensor.dim() != len(left):
            template = USUAL.get(len(left), ()) if len(left) > 3 else ()
            yield Want("rank", tensor, value=len(left), template=template, why=f"pattern {pattern}", cost=0.5)
            return
        for d, parts in enumerate(left):
            step = math.prod(known.get(part, 1) for part in parts)
            if step > 1 and all(part in known for part in parts) and tensor.shape[d] != step:
                yield Want("size", tensor, d, step, why=f"pattern {pattern}", cost=0.5)
            elif step > 1 and tensor.shape[d] % step:
                yield Want("multiple", tensor, d, step, why=f"pattern {pattern}", cost=0.6)
        return
