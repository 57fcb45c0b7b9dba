"""What counts as mixing, against closed forms; when nothing can be judged, and what a declaration changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Finding, Report, Severity, check_gradients
from tests.zoo.sound.kept_aside import PositiveFeatures

RULE = "mixed-samples"


def report(model: nn.Module, inputs: Any, **settings: Any) -> Report:
    return check_gradients(model, inputs, select=[RULE], seed=0, **settings)


def only(model: nn.Module, inputs: Any, **settings: Any) -> Finding:
    (finding,) = report(model, inputs, **settings).findings
    return finding


class Leaky(nn.Module):
    """y_i = A x_i + c * mean over the other samples of A x_j."""

    def __init__(self, c: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c, self.layer = c, nn.Linear(400, 400, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.layer(x)
        return h + self.c * (h.sum(0, keepdim=True) - h) / (len(x) - 1)


@pytest.mark.parametrize("c", [0.1, 0.3, 1.0])
def test_share_is_the_one_of_the_closed_form(c: float) -> None:
    """Independent draws d: |c (d1 + d2) / 2| over |d0 + c d1 / 2|, because the last sample is kept while the first changes."""
    torch.manual_seed(0)
    finding = only(Leaky(c), torch.randn(8, 400))
    assert finding.severity is Severity.ERROR
    assert finding.got == pytest.approx(c / 2**0.5 / (1 + c**2 / 4) ** 0.5, rel=0.1)


class Coupled(Leaky):
    """The same by a product with a matrix, which nobody takes for a statistic over the samples."""

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.layer(x)
        others = torch.ones(len(x), len(x)) - torch.eye(len(x))
        return torch.matmul(torch.eye(len(x)) + self.c * others / (len(x) - 1), h)


@pytest.mark.slow
def test_weak_coupling_is_a_note_and_none_is_nothing() -> None:
    assert only(Coupled(0.02), torch.randn(8, 400)).severity is Severity.NOTE
    assert only(Leaky(0.02), torch.randn(8, 400)).severity is Severity.ERROR  # a sum over the batch, however weak
    assert only(Leaky(0.02), torch.randn(8, 400), rules={"mixed-samples": {"max_influence": 0.03}}).severity is Severity.NOTE
    assert report(Leaky(0.0), torch.randn(8, 400)).findings == ()


def test_bound_of_the_user_is_the_bound() -> None:
    found = only(Leaky(0.02), torch.randn(8, 400), rules={RULE: {"max_influence": 0.001}})
    assert (found.severity, found.bound) == (Severity.ERROR, 0.001)


@pytest.mark.parametrize("batch", [2, 3, 4, 5, 17])
def test_any_batch_from_two_on(batch: int) -> None:
    assert only(Leaky(1.0), torch.randn(batch, 400)).severity is Severity.ERROR
    assert report(Leaky(0.0), torch.randn(batch, 400)).findings == ()


class Shift(nn.Module):
    """Each sample is handed to a neighbour: `by` > 0 reaches the last sample, < 0 the first."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by, self.layer = by, nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        shifted = torch.zeros_like(h)
        if self.by > 0:
            shifted[1:] = h[:-1]
        else:
            shifted[:-1] = h[1:]
        return h + shifted


@pytest.mark.parametrize(("by", "kept"), [(1, "last"), (-1, "first")])
def test_mixing_that_reaches_one_end_only(by: int, kept: str) -> None:
    assert f"the {kept} sample" in only(Shift(by), torch.randn(8, 8)).message


class Square(nn.Module):
    """(a, b, e) -> (a, b, e) through attention with the axes as torch's default has them."""

    def __init__(self, pool: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pool, self.attention = pool, nn.MultiheadAttention(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = x + self.attention(x, x, x)[0]
        return h.mean(1) if self.pool else h


@pytest.mark.slow
def test_axis_that_survives_tells_the_layout() -> None:
    """(a, b, e) -> (a, b, e) may be meant either way; where b is averaged away, a is what is left for the samples."""
    x = torch.randn(9, 12, 16)
    assert only(Square(pool=False), x).severity is Severity.NOTE
    assert only(Square(pool=True), x).severity is Severity.ERROR
    assert only(Square(pool=False), x, batch_axis=0).severity is Severity.ERROR
    assert report(Square(pool=False), x, batch_axis=1).findings == ()


def test_declared_as_one_graph_is_not_examined() -> None:
    found = report(Leaky(1.0), torch.randn(8, 400), batch_axis=None)
    assert found.findings == ()
    assert "mixing" not in found.trace.facts


class Fixed(nn.Module):
    """Runs on eight rows and on no other number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.T.T.view(8, 4))  # an attribute that is not followed, so that it has to run


def test_model_that_cannot_run_on_three_samples_is_not_judged() -> None:
    assert report(Fixed(), torch.randn(8, 4)).findings == ()
    finding = only(Fixed(), torch.randn(8, 4), batch_axis=0)
    assert (finding.severity, finding.message.partition(":")[0]) == (Severity.NOTE, "not judged")


def test_place_names_the_layer_the_operation_and_the_line() -> None:
    finding = only(nn.Sequential(nn.Linear(400, 400), Leaky(1.0), nn.ReLU()), torch.randn(8, 400))
    assert finding.names == ("1",)
    assert finding.places[0].source is not None
    assert "test_mixed_samples.py:" in finding.places[0].source


def test_modes_and_values_come_back() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), Shift(1), nn.Dropout(0.5))
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report(model, torch.randn(8, 8))
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Attention(nn.Module):
    """Rows attend to rows: the steps of a sample, or the samples of a batch."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis, self.layer = axis, nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        out: Tensor = (h @ h.transpose(-1, -2)).softmax(self.axis) @ h
        return out


@pytest.mark.slow
def test_made_up_rows_that_may_be_steps_are_no_samples() -> None:
    torch.manual_seed(0)
    assert report(Attention(-1), None).findings == ()
    assert only(Attention(-1), torch.randn(16, 12)).severity is Severity.ERROR
    assert report(Attention(-1), torch.randn(16, 7, 12)).findings == ()
    assert only(Attention(0), None).severity is Severity.ERROR


class Mixer(nn.Module):
    """A layer, something that happens along the axis of the samples, and a head."""

    def __init__(self, mix: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.body, self.head, self.mix = nn.Linear(12, 16), nn.Linear(16, 4), mix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.mix(torch.tanh(self.body(x))))


WAYS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "flip": lambda h: h.flip(0),
    "roll": lambda h: h.roll(1, 0),
    "roll back": lambda h: h.roll(-1, 0),
    "mean": lambda h: h - h.mean(0),
    "first": lambda h: h - h[:1],
    "last": lambda h: h - h[-1:],
    "earlier ones": lambda h: h.cumsum(0),
    "later ones": lambda h: h.flip(0).cumsum(0).flip(0),
    "softmax": lambda h: h.softmax(0),
    "reshaped": lambda h: h.reshape(4, -1).roll(1, 0).reshape(h.shape),
    "transposed": lambda h: h.T.reshape(h.shape),
}


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, 3, 4, 5, 6, 10])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_mixing_shows_in_a_batch_of_any_size(way: str, batch: int) -> None:
    torch.manual_seed(0)
    assert report(Mixer(WAYS[way]), torch.randn(batch, 12)).findings


@pytest.mark.parametrize("batch", [2, 3, 4, 5, 9])
def test_no_mixing_is_no_finding_in_a_batch_of_any_size(batch: int) -> None:
    torch.manual_seed(0)
    assert not report(Mixer(torch.sin), torch.randn(batch, 12)).findings


@pytest.mark.slow
def test_the_operation_is_named_where_others_leave_nothing() -> None:
    """Slices without entries and masks of infinities move with nothing, whatever the other samples are."""
    torch.manual_seed(0)
    finding = only(PositiveFeatures(), torch.randn(32, 7, 32))
    assert finding.severity is Severity.NOTE and dict(finding.details)["because"].startswith("max in the model itself")

    class OverTheBatch(PositiveFeatures):
        def features(self, x: torch.Tensor, own: int) -> torch.Tensor:
            hidden = torch.ones(len(x), 4, 7, 1).masked_fill(torch.arange(7).view(7, 1) > 5, float("-inf"))
            return (x + 0 * hidden.exp()).softmax(0)

    finding = only(OverTheBatch(), torch.randn(32, 7, 32))
    assert finding.severity is Severity.ERROR and dict(finding.details)["because"].startswith("softmax in the model itself")
