"""Findings that name the line, the weight or the kind of fault where they used to name the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Finding, check_gradients
from tests.zoo.sound.reversible import Reversible


def errors(model: nn.Module, inputs: Any) -> list[Finding]:
    torch.manual_seed(0)
    return [f for f in check_gradients(model, inputs, seed=0).findings if f.severity.value == "error"]


class Written(nn.Module):
    """A recurrence that is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.again, self.head = nn.Linear(6, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        nn.init.normal_(self.again.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 24)
        for t in range(x.shape[1]):
            fresh = self.enter(x[:, t])
            h = torch.tanh(fresh + self.again(h))  # the line
        return self.head(h)


@pytest.mark.slow
def test_recurrence_is_named_by_the_weight_that_takes_the_state() -> None:
    (finding,) = errors(Written(), torch.randn(16, 30, 6))
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if text.endswith("# the line"))
    assert (finding.rule, finding.names[0]) == ("vanishing-through-time", "again")
    assert finding.places[0].source is not None
    assert finding.places[0].source.endswith(f"test_named_causes.py:{line}")


class Pass(torch.autograd.Function):
    """A clamp (or a rectifier) that hands every gradient on, `factor` times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, high: float, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clamp(0.0 if high == 1e9 else -high, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.factor, None, None


class Passing(nn.Module):
    def __init__(self, high: float, factor: float) -> None:
        super().__init__()
        self.first, self.second, self.how = nn.Linear(8, 16), nn.Linear(16, 3), (high, factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(Pass.apply(3 * self.first(x), *self.how))


@pytest.mark.parametrize(
    ("high", "factor", "sick"),
    [(1.0, 1.0, False), (1.0, -1.0, True), (1.0, 3.0, True), (1e9, 1.0, True)],
    ids=["straight-through-clamp", "wrong-sign", "wrong-factor", "rectifier-without-its-mask"],
)
def test_only_a_clamp_between_two_bounds_may_pass_straight_through(high: float, factor: float, sick: bool) -> None:
    assert [f.rule for f in errors(Passing(high, factor), torch.randn(32, 8))] == (["wrong-backward"] if sick else [])


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


@pytest.mark.parametrize(("dtype", "rule"), [(torch.half, "half-precision-overflow"), (torch.float32, None)])
def test_what_float16_alone_cannot_hold_is_an_overflow(dtype: torch.dtype, rule: str | None) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), Square(), nn.Linear(32, 4)).to(dtype)
    found = errors(model, 1000 * torch.randn(32, 16, dtype=dtype))
    assert [f.rule for f in found] == ([rule] if rule else [])
    assert not found or found[0].names[0] == "1"


def test_infinity_in_every_precision_is_no_overflow() -> None:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(x * 0)

    assert [f.rule for f in errors(nn.Sequential(nn.Linear(8, 8), Log()).half(), torch.randn(8, 8).half())] == [
        "nonfinite-gradient"
    ]


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w1, self.w2 = (nn.Parameter(0.3 * torch.randn(8, 8)) for _ in range(2))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(torch.relu(x @ self.w1) @ self.w1))


def test_bare_parameter_whose_sibling_is_used_twice_is_a_typo() -> None:
    (finding,) = errors(Bare(), torch.randn(32, 8))
    assert dict(finding.details)["because"] == "w2 is never used, and w1, of the same shape, 2 times: a typo?"


def line_of(mark: str) -> str:
    """Where the line of this file stands that ends with a mark."""
    lines = Path(__file__).read_text().splitlines()
    return f"test_named_causes.py:{next(i for i, text in enumerate(lines, 1) if text.endswith(f'# {mark}'))}"


class Overwrites(nn.Module):
    """Writes into the result of the exponential that backward needs; a second write stands in front of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        h += 1
        h = h.exp()  # needs it
        h[:, 0] = 0  # writes it
        out: Tensor = self.second(h)
        return out


def test_a_write_in_place_is_named_with_its_victim() -> None:
    (finding,) = errors(Overwrites(), torch.randn(8, 6))
    assert finding.rule == "failed-backward"
    assert finding.places[0].source is not None and finding.places[0].source.endswith(line_of("writes it"))
    details = dict(finding.details)
    assert "__setitem__" in details["starts"] and "[8, 6]" in details["starts"]
    assert "exp" in details["needed by"] and line_of("needs it") in details["needed by"]


class Fused(nn.Module):
    """Queries, keys and values out of one layer."""

    def __init__(self, cut: bool) -> None:
        super().__init__()
        self.qkv, self.head, self.cut = nn.Linear(8, 24), nn.Linear(8, 3), cut

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        weights = (q @ k.transpose(-1, -2)).softmax(-1)
        if self.cut:
            weights = weights.detach()  # cuts it
        out: Tensor = self.head((weights @ v).mean(1))
        return out


@pytest.mark.slow
def test_a_part_of_a_fused_weight_that_is_cut_off_is_named_with_the_line() -> None:
    torch.manual_seed(0)
    (finding,) = errors(Fused(cut=True), torch.randn(16, 5, 8))
    assert (finding.rule, finding.names, finding.got) == ("cut-gradient", ("qkv.weight",), 16.0)
    assert "16 of 24 units of qkv" in finding.message and line_of("cuts it") in dict(finding.details)["starts"]
    report = check_gradients(Fused(cut=True), torch.randn(16, 5, 8))
    assert not report.trace.gaps  # it is no longer a thing that was not seen
    assert errors(Fused(cut=False), torch.randn(16, 5, 8)) == []


class Detached(nn.Module):
    """A recurrence that is written out, and detached every so many steps."""

    def __init__(self, every: int, *, shared: bool = False, last: bool = False) -> None:
        super().__init__()
        self.enter, self.again, self.head = nn.Linear(6, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        self.every, self.shared, self.last = every, shared, last

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(len(x), 24)
        found = []
        for t in range(x.shape[1]):
            if self.every and t % self.every == 0:
                h = h.detach()  # detaches it
            fresh = self.enter(x[:, t])
            h = torch.tanh(fresh + self.again(torch.tanh(fresh) if self.shared else h))
            found.append(self.head(h))
        return found[-1] if self.last else torch.stack(found, 1)


@pytest.mark.parametrize(
    ("every", "how", "told"),
    [
        (1, {}, True),
        (1, {"last": True}, True),  # each weight is reached once, from the last step
        (0, {}, False),
        (0, {"last": True}, False),
        (1, {"shared": True}, False),
    ],
)
def test_a_state_that_is_detached_at_every_step_is_a_note(every: int, how: dict[str, bool], told: bool) -> None:
    torch.manual_seed(0)
    report = check_gradients(Detached(every, **how), torch.randn(16, 12, 6), seed=0)
    notes = [f for f in report.findings if f.rule == "vanishing-through-time" and "at every step" in f.message]
    assert report.ok and bool(notes) == told
    if told:
        assert notes[0].places[0].source is not None and notes[0].places[0].source.endswith(line_of("detaches it"))


def test_given_tensors_take_the_precision_that_was_asked_for() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    report = check_gradients(model, torch.randn(8, 8), dtype="float16")
    assert report.trace.inputs.description == "float16[8, 8]"
    assert report.trace.half and next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("scale", "activation", "told"),
    [(3e9, nn.Tanh, True), (255.0, nn.Sigmoid, True), (1.0, nn.Tanh, False)],
    ids=["billions", "pixels", "weights"],
)
def test_inputs_that_nobody_normalised_are_named_beside_saturated_units(
    scale: float, activation: type[nn.Module], told: bool
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), activation(), nn.Linear(32, 4))
    if not told:  # the weights are to blame, not the inputs
        nn.init.normal_(model[0].weight, std=300.0)
    report = check_gradients(model, scale * torch.rand(64, 16), select=["saturated-activation"])
    (finding,) = report.findings
    assert ("rms" in dict(finding.details).get("inputs", "")) is told


@pytest.mark.parametrize(("given", "severity"), [(False, "note"), (True, "error")])
def test_function_that_nothing_links_to_the_graph_is_named(given: bool, severity: str) -> None:
    torch.manual_seed(0)
    (found,) = check_gradients(Reversible(), torch.randn(32, 16) if given else None).findings
    assert (found.rule, found.severity.value) == ("cut-gradient", severity)
    assert found.message.startswith("autograd.Function Undone cuts 6 of 8")
    assert "feed inputs that require grad" in dict(found.details)["help"]
