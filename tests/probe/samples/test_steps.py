"""Where forward is said to be causal, no later step moves an earlier one: on random modules, and on masks that leak."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradcheck_health import check_gradients
from tests.probe.samples.programs import STEPS, USUAL, Program
from tests.probe.samples.verdicts import noise, of_steps

Steps = list[tuple[str, int]]


def agree(steps: Steps) -> None:
    shape = (4, 6, 8)
    proven, moves = of_steps(Program(steps, shape), noise(shape))
    assert not (proven and moves)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 47)), min_size=1, max_size=6))
def test_proof_agrees_with_the_measurement_on_random_modules(steps: Steps) -> None:
    agree(steps)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(USUAL), st.integers(0, 47)), min_size=1, max_size=5))
def test_proof_agrees_with_the_measurement_on_stacks_of_attention(steps: Steps) -> None:
    agree(steps)


class Decoder(nn.Module):
    """A block of heads, and the loss of the next token beside its logits."""

    def __init__(self, mask: Any, loss: bool = True) -> None:
        super().__init__()
        self.embed, self.qkv, self.head = nn.Embedding(20, 8), nn.Linear(8, 24), nn.Linear(8, 20)
        self.norm, self.mask, self.loss = nn.LayerNorm(8), mask, loss

    def forward(self, tokens: torch.Tensor) -> Any:
        h = self.embed(tokens)
        b, t, d = h.shape
        q, k, v = self.qkv(self.norm(h)).view(b, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        h = h + F.scaled_dot_product_attention(q, k, v, **self.mask(t)).transpose(1, 2).reshape(b, t, d)
        logits = self.head(h)
        if not self.loss:
            return logits
        return F.cross_entropy(logits[:, :-1].reshape(-1, 20), tokens[:, 1:].reshape(-1)), logits


def triangle(diagonal: int) -> Any:
    return lambda t: {"attn_mask": torch.ones(t, t, dtype=torch.bool).tril(diagonal)}


@pytest.mark.parametrize("loss", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mask", [lambda t: {"is_causal": True}, triangle(0)])
def test_decoders_are_followed(mask: Any, training: bool, loss: bool) -> None:
    tokens = torch.randint(0, 20, (4, 6))
    model = Decoder(mask, loss).train(training)
    assert of_steps(model, tokens) == (True, False)
    report = check_gradients(model, tokens, select=["future-leak", "mixed-samples"])
    assert report.trace.in_order and report.trace.apart and not report.trace.facts and not report.findings


@pytest.mark.parametrize(
    "mask", [triangle(1), lambda t: {}, lambda t: {"attn_mask": torch.ones(t, t).tril().log().clamp(min=-3)}]
)
def test_nothing_is_proven_of_a_mask_that_lets_a_later_step_through(mask: Any) -> None:
    torch.manual_seed(0)
    proven, moves = of_steps(Decoder(mask), torch.randint(0, 20, (4, 6)))
    assert proven is not moves


def test_multi_head_attention_of_torch_is_followed() -> None:
    class Layer(nn.Module):
        def __init__(self, diagonal: int) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.diagonal = diagonal

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            steps = x.shape[1]
            mask = torch.ones(steps, steps, dtype=torch.bool).triu(self.diagonal)
            out: torch.Tensor = self.layer(x, src_mask=mask)
            return out

    x = torch.randn(4, 6, 8)
    assert of_steps(Layer(1), x) == (True, False)
    assert of_steps(Layer(2), x) == (False, True)


class Ordered(nn.Module):
    """The samples are sorted at each step, so that an exchange of two of them moves nothing: only the features seem to leak."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.mix(x).sort(0).values.flip(0).unsqueeze(0)
        return out


def test_features_are_not_taken_for_the_time_where_that_shows_nothing() -> None:
    torch.manual_seed(0)
    assert not of_steps(Ordered(), noise((4, 6, 8)))[1]
