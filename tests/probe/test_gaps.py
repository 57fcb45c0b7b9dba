"""Nothing is missed in silence: dead units, NaN and norms, however they come about, are found or told as a gap.

The oracle is bare autograd: which rows of a gradient are zero, what is not finite, how large a norm is in float64.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradcheck_health import Report, Severity, check_gradients

pytestmark = pytest.mark.filterwarnings("ignore")
"""torch.jit and reentrant checkpoints are called old."""

Function = Callable[[Tensor], Tensor]


class OwnRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * (x > 0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x > 0)


def in_a_thread(function: Function) -> Function:
    def run(x: Tensor) -> Tensor:
        found: list[Tensor] = []
        thread = threading.Thread(target=lambda: found.append(function(x)))
        thread.start()
        thread.join()
        return found[0]

    return run


def scripted(text: str) -> Function:
    unit: Any = torch.jit.CompilationUnit(f"def f(x):\n    return {text}\n")
    found: Function = unit.f
    return found


def put(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0] = 0
    return x


RECTIFIERS: dict[str, Function] = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "function": F.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp to a tensor": lambda x: torch.clamp(x, min=torch.zeros(())),
    "clip": lambda x: x.clip(0),
    "clip_": lambda x: x.clip_(0),
    "maximum": lambda x: torch.maximum(x, torch.zeros(())),
    "maximum of as many": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "fmax": lambda x: torch.fmax(x, torch.zeros(1)),
    "stacked": lambda x: torch.stack([x, torch.zeros_like(x)]).amax(0),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "where of a tensor": lambda x: x.where(x > 0, torch.zeros_like(x)),
    "mask": lambda x: x * (x > 0),
    "mask of floats": lambda x: x * (x > 0).float(),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "index": put,
    "half of the sum with the absolute": lambda x: (x + x.abs()) / 2,
    "threshold": lambda x: F.threshold(x, 0, 0),
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, 0, 9),
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "leaky with no leak": lambda x: F.leaky_relu(x, 0.0),
    "prelu of zero": lambda x: F.prelu(x, torch.zeros(1)),
    "rrelu of zero": lambda x: F.rrelu(x, 0.0, 0.0),
    "squared": lambda x: F.relu(x).square(),
    "dispatched": lambda x: torch.ops.aten.relu(x),
    "own function": OwnRelu.apply,
    "scripted": scripted("torch.relu(x)"),
    "scripted mask": scripted("x * (x > 0)"),
    "vmap": torch.vmap(F.relu),
    "vmap of a mask": torch.vmap(lambda x: x * (x > 0)),
    "in a thread": in_a_thread(F.relu),
    "mask in a thread": in_a_thread(lambda x: x * (x > 0)),
    "checkpoint": lambda x: checkpoint(F.relu, x, use_reentrant=False),
    "reentrant checkpoint": lambda x: checkpoint(F.relu, x, use_reentrant=True),
}
"""Spellings of a function that passes nothing of what is far below zero."""


class Rectified(nn.Module):
    """A layer of 64 units; so many of them are far below zero for every sample."""

    def __init__(self, function: Function, dead: int, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function, self.kind = function, kind
        self.first = nn.Conv1d(3, 64, 3, padding=1) if kind == "convolution" else nn.Linear(8, 64)
        self.last = nn.Linear(64, 4)
        assert self.first.bias is not None
        with torch.no_grad():
            self.first.bias[:dead] = -100.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.function(self.first(x))
        out: Tensor = self.last(h.mean(2) if self.kind == "convolution" else h)
        return out


def dead_units(model: Rectified, x: Tensor) -> int:
    """By bare autograd, under a loss that weighs no output like another."""
    out = model(x)
    (out * torch.randn_like(out)).sum().backward()
    gradient = model.first.weight.grad
    assert gradient is not None
    model.zero_grad()
    return int((gradient.flatten(1) == 0).all(1).sum())


def heard(report: Report) -> bool:
    """Something that a person has to look at was found, or is said not to have been seen."""
    return bool(report.trace.gaps) or any(finding.severity is not Severity.NOTE for finding in report.findings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "convolution"])
@pytest.mark.parametrize("name", RECTIFIERS)
def test_dead_units_are_not_missed(name: str, kind: str) -> None:
    model, x = Rectified(RECTIFIERS[name], 60, kind), torch.randn(32, *((3, 8) if kind == "convolution" else (8,)))
    assert dead_units(model, x) >= 60
    assert heard(check_gradients(model, x))


@pytest.mark.parametrize("name", ["mask", "where", "module", "in a thread"])
def test_a_whole_dead_layer_is_an_error(name: str) -> None:
    model, x = Rectified(RECTIFIERS[name], 64, "linear"), torch.randn(32, 8)
    assert dead_units(model, x) == 64
    assert not check_gradients(model, x).ok


@pytest.mark.parametrize(("dead", "told"), [(0, False), (31, False), (40, True), (63, True)])
def test_the_gap_names_the_layer_and_how_many(dead: int, told: bool) -> None:
    model, x = Rectified(RECTIFIERS["mask"], dead, "linear"), torch.randn(64, 8)
    count = dead_units(model, x)
    gaps = check_gradients(model, x).trace.gaps
    assert gaps == ((f"why no gradient comes to {count} of 64 units of first",) if told else ())


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:3]:
            h = layer(x)
            x = h * (h > 0) * (torch.arange(16) < 4)
        out: Tensor = self.layers[3](x)
        return out


def test_one_sentence_for_many_layers() -> None:
    (gap,) = check_gradients(Deep(), torch.randn(64, 16)).trace.gaps
    assert gap.startswith("why no gradient comes to 1") and gap.endswith(
        " of 16 units of layers.0, nor to those of 2 more layers"
    )


SPOILERS: dict[str, Function] = {
    "square root of zero": lambda x: (x * 0).sqrt() + x,
    "logarithm of zero": lambda x: (x * 0).log() + x,
    "zero over zero": lambda x: x + (x * 0) / (x * 0).detach(),
    "infinity minus infinity": lambda x: x + (x.detach() / 0).abs() - (x.detach() / 0).abs(),
    "overflow": lambda x: x * 1e38 * 1e38,
    "overflow of an exponential": lambda x: (x.abs() + 100).exp(),
    "one entry": lambda x: x + F.pad(torch.full((1, 1), torch.nan), (0, x.shape[1] - 1, 0, x.shape[0] - 1)),
    "norm of a row of zeros": lambda x: x + (x * 0).norm(dim=1, keepdim=True).sqrt(),
    "angle of more than one": lambda x: (x.abs() + 2).acos(),
    "hidden by where": lambda x: torch.where(x > 0, x.sqrt(), 0.0),
    "hidden by nan_to_num": lambda x: torch.nan_to_num(x.sqrt()),
    "masked softmax": lambda x: x + torch.softmax(x + torch.full_like(x, -torch.inf), 1),
    "scripted": scripted("torch.sqrt(x * 0) + x"),
    "vmap": torch.vmap(lambda x: (x * 0).sqrt() + x),
    "in a thread": in_a_thread(lambda x: (x * 0).sqrt() + x),
    "checkpoint": lambda x: checkpoint(lambda y: (y * 0).sqrt() + y, x, use_reentrant=False),
    "reentrant checkpoint": lambda x: checkpoint(lambda y: (y * 0).sqrt() + y, x, use_reentrant=True),
}
"""Operations that make NaN or Inf, in forward or in backward."""


class Spoiled(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function, self.first, self.last = function, nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.function(self.first(x)))
        return out


@pytest.mark.parametrize("name", SPOILERS)
def test_what_is_not_finite_is_not_missed(name: str) -> None:
    model, x = Spoiled(SPOILERS[name]), torch.randn(16, 8)
    out = model(x)
    (out * torch.randn_like(out)).sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert not all(torch.isfinite(one).all() for one in (out, *gradients))
    model.zero_grad()
    report = check_gradients(model, x)
    assert "nonfinite-gradient" in {finding.rule for finding in report.findings if finding.severity is Severity.ERROR}


class Factor(nn.Module):
    """The gradient of its weight is `scale` times the input's sum, whatever the loss: the output is its own loss."""

    def __init__(self, scale: float, shape: tuple[int, ...], dtype: torch.dtype, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        values = torch.randn(shape, dtype=dtype)
        self.weight = nn.Parameter(values.t() if kind == "transposed" else values)
        self.scale, self.kind = scale, kind

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.kind == "sparse":
            taken = F.embedding(torch.tensor([0, 2, 2]), weight, sparse=True)
            return (taken * x[:3, : weight.shape[1]]).sum() * self.scale
        if self.kind == "expanded":
            return weight.sum() * self.scale * x.sum()
        part = x.flatten()[: weight.numel()].reshape(weight.shape).to(weight.dtype)
        product = weight * part * self.scale
        return (product.real.sum() if product.is_complex() else product.sum()).float()


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e-20, 1e25])
@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((6, 7), torch.float32, "plain"),
        ((6, 7), torch.float32, "transposed"),
        ((6, 7), torch.float32, "expanded"),
        ((6, 7), torch.float32, "sparse"),
        ((60, 70), torch.float32, "plain"),
        ((6, 7), torch.float64, "plain"),
        ((6, 7), torch.bfloat16, "plain"),
        ((6, 7), torch.complex64, "plain"),
        ((), torch.float32, "plain"),
        ((1,), torch.float32, "plain"),
    ],
)
def test_norms_are_those_of_float64(shape: tuple[int, ...], dtype: torch.dtype, kind: str, scale: float) -> None:
    model, x = Factor(scale, shape, dtype, kind), torch.randn(70, 70)
    model(x.clone()).backward()
    gradient = model.weight.grad
    assert gradient is not None
    gradient = gradient.to_dense().detach()
    wide = torch.view_as_real(gradient).double() if gradient.is_complex() else gradient.double()
    right = float(torch.linalg.vector_norm(wide))
    model.weight.grad = None
    seen = check_gradients(model, (x,), loss=lambda out: out, select=["missing-gradient"]).trace.parameters["weight"].gradient
    assert seen is not None and seen.finite
    assert seen.norm == pytest.approx(right, rel=1e-4)
