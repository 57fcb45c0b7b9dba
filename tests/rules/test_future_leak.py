"""Who counts as causal, what counts as a leak (against closed forms), and where it is placed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_health import Report, Severity, check_gradients
from gradcheck_health.probe.forward.causal_attention import Attention, causal_by_config

RULE = "future-leak"


def report(model: nn.Module, inputs: Any, **settings: Any) -> Report:
    return check_gradients(model, inputs, select=[RULE], seed=0, **settings)


class Ahead(nn.Module):
    """y_t = A x_t + c A x_(t + by), for by > 0 a look into the future."""

    def __init__(self, c: float, by: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c, self.by, self.layer = c, by, nn.Linear(200, 200, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.layer(x)
        other = torch.zeros_like(h)
        if self.by > 0:
            other[:, : -self.by] = h[:, self.by :]
        else:
            other[:, -self.by :] = h[:, : self.by]
        return h + self.c * other


@pytest.mark.parametrize("by", [1, 3, 5])
@pytest.mark.parametrize("c", [0.05, 0.5])
def test_share_is_the_coefficient(c: float, by: int) -> None:
    """The last step before the cut moves by c |A d|; one behind it by |A d + c A d'|, the largest a little more."""
    torch.manual_seed(1)
    (finding,) = report(Ahead(c, by), torch.randn(6, 12, 200), causal=True).findings
    assert finding.severity is Severity.ERROR
    assert finding.got == pytest.approx(c / (1 + c**2) ** 0.5, rel=0.15)


@pytest.mark.parametrize("by", [-1, -4])
def test_looking_back_is_no_leak(by: int) -> None:
    assert report(Ahead(0.5, by), torch.randn(6, 12, 200), causal=True).findings == ()


def test_nothing_is_asked_of_a_model_that_nobody_calls_causal() -> None:
    found = report(Ahead(0.5, 1), torch.randn(6, 12, 200))
    assert found.findings == ()
    assert "future" not in found.trace.facts


@pytest.mark.slow
def test_weak_leak_is_a_note_unless_the_bound_is_set() -> None:
    x = torch.randn(6, 12, 200).double()  # in float32 a small change is lost on the way
    (note,) = report(Ahead(0.0008, 1).double(), x, causal=True).findings
    (error,) = report(Ahead(0.0008, 1).double(), x, causal=True, rules={RULE: {"max_influence": 0.0004}}).findings
    assert (note.severity, error.severity) == (Severity.NOTE, Severity.ERROR)


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.mean(1))


def test_output_without_time_is_not_judged_and_says_so() -> None:
    (finding,) = report(Pooled(), torch.randn(4, 9, 6), causal=True).findings
    assert (finding.severity, finding.message) == (
        Severity.NOTE,
        "not judged: no axis of an output follows the time steps of an input",
    )


class Attending(nn.Module):
    """One causal layer of attention, in the way that `how` says; `leak` adds the mean over time."""

    def __init__(self, how: str, leak: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.leak = how, leak
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[1]
        shut = torch.ones(steps, steps, dtype=torch.bool).triu(1)
        if self.how == "module":
            h = self.attention(x, x, x, attn_mask=shut, need_weights=False)[0]
        elif self.how == "flag":
            h = F.scaled_dot_product_attention(x, x, x, is_causal=True)
        elif self.how == "mask":
            h = F.scaled_dot_product_attention(x, x, x, attn_mask=~shut)
        else:
            h = (x @ x.mT).masked_fill(shut, float("-inf")).softmax(-1) @ x
        h = h + self.attention.out_proj(h)
        return h + 0.5 * x.mean(1, keepdim=True) if self.leak else h


@pytest.mark.parametrize("how", ["module", "flag", "mask", "by hand"])
def test_causal_attention_is_seen_and_held_to_it(how: str) -> None:
    x = torch.randn(6, 11, 16)
    assert report(Attending(how, leak=False), x).findings == ()
    (finding,) = report(Attending(how, leak=True), x).findings
    assert finding.severity is Severity.ERROR
    assert "its attention looks at earlier steps only" in dict(finding.details)["causal"]
    assert report(Attending(how, leak=True), x, causal=False).findings == ()


def shown(*calls: tuple[str, bool]) -> str:
    seen = Attention()
    q = torch.zeros(1, 5, 4)
    for layer, causal in calls:
        seen.observe(F.scaled_dot_product_attention, (q, q, q), {"is_causal": causal}, layer)
    return seen.causal_by_attention()


@pytest.mark.parametrize(
    ("calls", "causal"),
    [
        ([("blocks.0", True), ("blocks.1", True)], True),
        ([("blocks.0", True), ("blocks.1", False)], True),  # a mask was forgotten
        ([("encoder.0", False), ("decoder.0", True)], False),
        ([("blocks.0", False)], False),
        ([], False),
    ],
)
def test_layers_of_one_stack_are_compared_with_each_other(calls: list[tuple[str, bool]], causal: bool) -> None:
    assert bool(shown(*calls)) is causal


def test_configuration_speaks() -> None:
    class Config:
        is_decoder, is_encoder_decoder = True, False

    class Both(Config):
        is_encoder_decoder = True

    class ToyForCausalLM(nn.Module):
        config: Any = Both()

    model = ToyForCausalLM()
    assert causal_by_config(model) == ""
    model.config = Config()
    assert "ToyForCausalLM" in causal_by_config(model)
    assert causal_by_config(nn.Linear(1, 1)) == ""


class Masked(nn.Module):
    """Attention by hand under the mask that it is given, which hides where it is `hides`, and under one of its own."""

    def __init__(self, hides: bool | None, own: str = "none", around: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hides, self.own, self.around = hides, own, around
        self.embed, self.parts, self.head = nn.Embedding(50, 32), nn.Linear(32, 96), nn.Linear(32, 50)
        self.near = nn.Conv1d(32, 32, 3, padding=1, groups=32)

    def forward(self, tokens: Tensor, src_mask: Tensor) -> Tensor:
        x = self.embed(tokens)
        query, key, value = self.parts(x).chunk(3, -1)
        scores = query @ key.mT / 32**0.5
        every = torch.ones_like(scores[0], dtype=torch.bool)
        assert src_mask.shape == every.shape
        hidden = {"none": ~every, "right": every.triu(1), "upside down": every.tril(-1)}[self.own]
        if self.hides is not None:
            hidden = hidden | (src_mask == self.hides)
        x = x + scores.masked_fill(hidden, -1e9).softmax(-1) @ value
        if self.around:
            x = x + self.near(x.mT).mT
        out: Tensor = self.head(x)
        return out


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("hides", [False, True])
def test_made_up_mask_makes_no_model_causal(hides: bool, around: bool) -> None:
    """A reader of both ways, with a convolution around each step: a triangle that nobody chose says nothing of it."""
    assert report(Masked(hides, around=around), None).findings == ()


@pytest.mark.slow
@pytest.mark.parametrize("hides", [None, True])
def test_mask_of_the_models_own_is_judged_beside_a_made_up_one(hides: bool | None) -> None:
    (finding,) = report(Masked(hides, "right", around=True), None).findings
    assert "earlier steps only" in dict(finding.details)["causal"]
    assert report(Masked(hides, "right"), None).findings == ()


def test_mask_upside_down_is_found_beside_a_made_up_one() -> None:
    (finding,) = report(Masked(None, "upside down"), None).findings
    assert finding.severity is Severity.ERROR
    assert "tril()" in dict(finding.details)["help"]


def test_mask_that_is_given_shows_that_a_model_is_causal() -> None:
    given = (torch.randint(0, 50, (6, 11)), torch.ones(11, 11, dtype=torch.bool).triu(1))
    (finding,) = report(Masked(True, around=True), given).findings
    assert finding.severity is Severity.ERROR


class Merged(nn.Module):
    """Heads beside the samples, features in front of the steps, as batched products of matrices want them."""

    def __init__(self, by: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.by, self.layer, self.scan = by, nn.Linear(12, 15), nn.LSTM(15, 15, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.scan(self.layer(x))[0].transpose(1, 2)  # [sample, 3 heads of 5, step]
        return h.roll(-self.by, -1).reshape(-1, 5, x.shape[1])


@pytest.mark.parametrize("by", [0, 1])
def test_two_samples_laid_out_in_heads_are_no_steps(by: int) -> None:
    """Two samples of three heads are six rows, of as many steps."""
    found = report(Merged(by), torch.randn(8, 6, 12), causal=True).findings
    assert [finding.rule for finding in found if finding.severity is Severity.ERROR] == [RULE] * by
