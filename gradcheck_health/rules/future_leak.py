"""A causal model sees the future."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.influence import Influence
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis.influence import influence_finding, jumps

if TYPE_CHECKING:
    from torch import nn

_HELP = "mask before the softmax, pad on the left only, normalise over features; causal=False if it may look ahead"
_UPSIDE_DOWN = (
    "of scores and of scaled_dot_product_attention keep tril(); for nn.MultiheadAttention, where True shuts, pass "
    "triu(diagonal=1); causal=False if it is to read backwards"
)


def future_leak(trace: Trace, *, max_influence: float = 0.001) -> Iterator[Finding | Need]:
    """The output of a causal model at a time step moves when later steps of its input change.

    What it does: runs a model that is intended to be causal in eval mode, forward only, on two samples; then changes the
    second half of the sequence. The outputs of the first half must come out as before.

    Why it is bad: the model learns to copy the answer. The training loss is marvellous, and generation fails. The usual
    causes are a mask that is forgotten in one layer, off by one or applied after the softmax, a convolution padded
    on both sides, a normalisation or mean over time, and a bidirectional layer.

    How it is measured: the largest movement of an earlier step over the largest of a later one, above max_influence
    (default 0.001: a mean over 64 steps passes a sixty-fourth on), and smoothly: routing with a capacity jumps, and is a
    note. A model counts as causal with causal=True, by its configuration (a Hugging Face decoder), or when all of its
    attention looks at earlier steps only, or some layers of a stack do while their neighbours do not; what a mask
    among made-up inputs hides shows nothing.

    When it is legitimate: an encoder, a tagger and a masked language model may see everything: say causal=False if
    one is taken for a decoder.

    How to fix: mask the scores before the softmax (is_causal=True, triu(diagonal=1)), pad convolutions on the left
    only, normalise over features, and feed the decoder its inputs shifted by a step.

    How to silence: causal=False, or ignore={"future-leak": "the reason"}.
    """
    if trace.declared.causal is False or trace.in_order or not (trace.declared.causal or trace.causal):
        return
    if _a_made_up_mask_may_show_it(trace):
        if "unmasked" not in trace.facts:
            yield Need("unmasked")
            return
        if not any(seen.causal for seen in trace.facts["unmasked"]):
            return
    if "future" not in trace.facts:
        yield Need("future")
        return
    for seen in trace.facts["future"]:
        for influence in seen.influences:
            yield _finding(trace, influence, max_influence)
        if seen.gaps and trace.declared.causal:
            yield Finding("future-leak", Severity.NOTE, f"not judged: {seen.gaps[0]}", (Place("", trace.model),))


_SQUARE = re.compile(r"(?:bool|float\d+|bfloat16)\[(?:\d+, )*(\d+), \1\]")


def _a_made_up_mask_may_show_it(trace: Trace) -> bool:
    """What hides the steps may be a mask that nobody chose. Layers of a stack that differ under it differ by themselves."""
    if trace.declared.causal or not trace.inputs.made_up or trace.causal.startswith("some layers"):
        return False
    return _SQUARE.search(trace.inputs.description) is not None


def _finding(trace: Trace, influence: Influence, allowed: float) -> Finding:
    jumping = jumps(influence)
    reason = "the output jumps (routing, sorting, a capacity): a small change of the future does not move it"
    if not jumping:
        place = influence.layer or "the model itself"
        reason = f"{influence.op or 'an operation that was not seen'} in {place} is the first whose earlier steps move"
    upside_down = trace.causal.endswith("upside down")
    if upside_down:
        reason = "the mask is upside down: it hides earlier steps and shows later ones"
    return influence_finding(
        "future-leak",
        Severity.NOTE if jumping or influence.share <= allowed else Severity.ERROR,
        influence,
        allowed,
        compared="as far as that of later ones, which alone were changed",
        because=reason,
        details=(
            ("causal", "declared" if trace.declared.causal else trace.causal),
            ("help", _UPSIDE_DOWN if upside_down else _HELP),
        ),
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Decoder(nn.Module):
        """Each token attends to itself and to earlier ones."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(40, 16)
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.head = nn.Linear(16, 40)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            h = self.embed(tokens)
            steps = tokens.shape[1]
            mask = torch.ones(steps, steps, dtype=torch.bool).triu(diagonal=1)
            attended, _ = self.attention(h, h, h, attn_mask=mask)
            logits: torch.Tensor = self.head(h + attended)
            return logits

    return Decoder()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Decoder(nn.Module):
        """The triangle begins a step too late: each token sees the next one."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(40, 16)
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.head = nn.Linear(16, 40)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            h = self.embed(tokens)
            steps = tokens.shape[1]
            mask = torch.ones(steps, steps, dtype=torch.bool).triu(diagonal=2)
            attended, _ = self.attention(h, h, h, attn_mask=mask)
            logits: torch.Tensor = self.head(h + attended)
            return logits

    return Decoder()
