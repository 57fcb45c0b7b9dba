"""The softmax inside fused attentions, against the weights that torch itself hands out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from gradcheck_health import check_gradients
from gradcheck_health.probe.forward.attention_scores import ATTENTION, scores_of


class Caught(TorchFunctionMode):
    """The probabilities by `scores_of` of the first fused attention."""

    found: Tensor | None = None

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in ATTENTION and self.found is None:
            scores = scores_of(func, args, kwargs or {})
            self.found = None if scores is None else scores.softmax(-1)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("width", [16, 12])
@pytest.mark.parametrize("masked", [False, True])
def test_multihead_attention_as_its_own_weights(masked: bool, width: int) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(16, 4, kdim=width, vdim=width)
    query, key = torch.randn(6, 3, 16), torch.randn(6, 3, width)
    causal = torch.ones(6, 6, dtype=torch.bool).triu(1) if masked else None
    padding = torch.zeros(3, 6, dtype=torch.bool)
    padding[2, 4:] = masked
    with Caught() as caught:
        _, weights = attention(
            query, key, key, attn_mask=causal, key_padding_mask=padding if masked else None, average_attn_weights=False
        )
    assert caught.found is not None
    torch.testing.assert_close(caught.found, weights.detach()[[0, 2]].reshape(-1, 6))


@pytest.mark.parametrize("causal", [False, True])
def test_grouped_dot_products_as_written_out(causal: bool) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    with Caught() as caught:
        F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=0.3, enable_gqa=True)
    scores = 0.3 * q @ k.repeat_interleave(2, 1).transpose(2, 3)
    if causal:
        scores = scores.masked_fill(torch.ones(5, 5, dtype=torch.bool).triu(1), -math.inf)
    assert caught.found is not None
    torch.testing.assert_close(caught.found, F.softmax(scores, -1).flatten(0, 1)[[0, 2, 4, 6]].flatten(0, 1))


@pytest.mark.parametrize(("scale", "told"), [(1.0, False), (30.0, True)])
def test_saturated_attention_is_reported_at_its_layer(scale: float, told: bool) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attention, self.head = (
                nn.Linear(8, 32),
                nn.MultiheadAttention(32, 4, batch_first=True),
                nn.Linear(32, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            h = self.embed(x) * scale
            return self.head(self.attention(h, h, h, need_weights=False)[0])

    torch.manual_seed(0)
    report = check_gradients(Reader(), torch.randn(16, 10, 8))
    assert [f.names[0] for f in report.findings if f.rule == "saturated-activation"] == (["attention"] if told else [])
