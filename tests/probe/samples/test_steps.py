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
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe, take
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.inputs import Inputs
from tests.probe.samples.programs import STEPS, Program

Steps = list[tuple[str, int]]
USUAL = (
    "causal attention",
    "attention under a mask",
    "linear",
    "relu",
    "layer norm",
    "dropout",
    "reshaped",
    "sliced",
    "transposed",
)


def verdicts(model: nn.Module, x: torch.Tensor) -> tuple[bool, bool]:
    """Whether it is proven to be causal, and whether a later step is measured to move an earlier one."""
    subject = Subject(model, Inputs((x,), batch=len(x)), declared=Declared(causal=True))
    with sandbox(model):
        trace = probe(subject, prove=("in order",))
        measured = take("future", subject, trace)
    return trace.in_order, any(one.influences for one in measured)


def agree(steps: Steps) -> None:
    shape = (4, 6, 8)
    proven, moves = verdicts(Program(steps, shape), torch.randn(*shape, generator=torch.Generator().manual_seed(1)))
    assert not (proven and moves)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 47)), min_size=1, max_size=6))
def test_proof_agrees_with_the_measurement_on_random_modules(steps: Steps) -> None:
    agree(steps)


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
    assert verdicts(model, tokens) == (True, False)
    report = check_gradients(model, tokens, select=["future-leak", "mixed-samples"])
    assert report.trace.in_order and report.trace.apart and not report.trace.facts and not report.findings


@pytest.mark.parametrize(
    "mask", [triangle(1), lambda t: {}, lambda t: {"attn_mask": torch.ones(t, t).tril().log().clamp(min=-3)}]
)
def test_nothing_is_proven_of_a_mask_that_lets_a_later_step_through(mask: Any) -> None:
    torch.manual_seed(0)
    proven, moves = verdicts(Decoder(mask), torch.randint(0, 20, (4, 6)))
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
    assert verdicts(Layer(1), x) == (True, False)
    assert verdicts(Layer(2), x) == (False, True)
