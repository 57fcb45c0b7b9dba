"""What is no plain module of dense float32 tensors: each is checked, or ends with one sentence that says what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradcheck_health import GradhealthError, Report, Severity, check_gradients

X = torch.randn(8, 16, generator=torch.Generator().manual_seed(0))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))


def sick() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(m for _ in range(10) for m in (nn.Linear(16, 16), nn.Sigmoid())), nn.Linear(16, 4))


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 16, dtype=torch.complex64) / 4)
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> Any:
        z = torch.fft.fft(x) @ self.weight
        return self.head(torch.cat([z.real, z.imag], -1))


class Spectrum(nn.Module):
    """Its output is complex."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.fft.rfft(self.linear(x))


class Graph(nn.Module):
    """A sparse adjacency."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("adjacency", torch.eye(8).to_sparse())
        self.linear = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> Any:
        return torch.sparse.mm(self.adjacency, self.linear(x))


def quantised() -> nn.Module:
    """A frozen int8 part in front of a trained one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(16, 16)), {nn.Linear}, dtype=torch.qint8)
    return nn.Sequential(part, nn.ReLU(), nn.Linear(16, 4))


def quantisation_aware() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = net()
        model.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")  # type: ignore[assignment]
        made: nn.Module = torch.ao.quantization.prepare_qat(model.train())
        return made


def filled_block_by_block() -> nn.Module:
    """Built on the meta device."""
    with torch.device("meta"):
        model = net()
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.to_empty(device="cpu")
            layer.reset_parameters()
    return model


class Saving(nn.Module):
    """Activations that are computed again, or wait on the CPU."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.stem, self.inner, self.head = how, nn.Linear(16, 16), net(), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.stem(x)
        if self.how == "offload":
            with torch.autograd.graph.save_on_cpu():
                return self.head(self.inner(x))
        return self.head(checkpoint(self.inner, x, use_reentrant=self.how == "reentrant"))


def jagged() -> torch.Tensor:
    return torch.nested.nested_tensor([torch.randn(3, 16), torch.randn(5, 16)], layout=torch.jagged)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "check",
    [
        lambda: check_gradients(torch.fx.symbolic_trace(net())),
        lambda: check_gradients(torch.export.export(net(), (X,)).module(), X),
        lambda: check_gradients(Complex(), X),
        lambda: check_gradients(Complex()),
        lambda: check_gradients(Spectrum(), X),
        lambda: check_gradients(Graph(), X),
        lambda: check_gradients(nn.Linear(16, 4), torch.eye(16).to_sparse()),
        lambda: check_gradients(nn.EmbeddingBag(50, 8, sparse=True), torch.randint(0, 50, (8, 5))),
        lambda: check_gradients(nn.Linear(16, 4), jagged()),
        lambda: check_gradients(quantised(), X),
        lambda: check_gradients(quantisation_aware(), X),
        lambda: check_gradients(filled_block_by_block, X),
        lambda: check_gradients(Saving("checkpoint"), X),
        lambda: check_gradients(Saving("reentrant"), X),
        lambda: check_gradients(Saving("offload"), X),
        lambda: check_gradients(net(), X, dtype="bfloat16"),
        lambda: check_gradients(net(), X, dtype="float64"),
        lambda: check_gradients(net(), X, autocast="float16"),
        lambda: check_gradients(net(), X, autocast="bfloat16"),
    ],
    ids=[
        "fx", "export", "complex weights", "complex weights, made-up inputs", "complex output", "sparse buffer", "sparse input",
        "sparse gradient", "nested input", "int8 part", "quantisation-aware", "meta, filled",
        "checkpointed", "checkpointed reentrantly", "offloaded", "bfloat16", "float64", "AMP float16",
        "AMP bfloat16",
    ],
)  # fmt: skip
def test_sound_one_is_checked_and_quiet(check: Callable[[], Report]) -> None:
    report = check()
    assert [one.rule for one in report.findings if one.severity is not Severity.NOTE] == []
    assert any(p.gradient is not None and p.gradient.norm > 0 for p in report.trace.parameters.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wrap",
    [
        torch.fx.symbolic_trace,
        lambda model: torch.export.export(model, (X,)).module(),
        lambda model: torch.compile(model, backend="eager"),
    ],
    ids=["fx", "export", "compile"],
)
def test_sick_one_is_found_inside(wrap: Callable[[nn.Module], Any]) -> None:
    assert "vanishing-gradient" in {one.rule for one in check_gradients(wrap(sick()), X).failures}


@pytest.mark.filterwarnings("ignore")
def test_scripted_part_is_said_to_be_unseen() -> None:
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(16, 16), nn.ReLU())), nn.Linear(16, 4))
    report = check_gradients(model, X)
    assert report.ok and any("ScriptModule 0" in gap for gap in report.trace.gaps)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (lambda: check_gradients(torch.jit.script(net()), X), "is compiled by torch.jit, and no hook sees what happens in it"),
        (
            lambda: check_gradients(torch.jit.trace(net(), X), X),
            "is compiled by torch.jit, and no hook sees what happens in it",
        ),
        (lambda: check_gradients(torch.export.export(net(), (X,)), X), "hand over program.module()"),
        (lambda: check_gradients(nn.Linear(16, 4), torch.nested.nested_tensor([X[:3], X[:5]])), "layout=torch.jagged"),
        (lambda: check_gradients(Complex(), X, dtype="bfloat16"), "Unsupported dtype BFloat16"),
        (lambda: check_gradients(net().to("meta"), X), "is on the meta device"),
    ],
    ids=["script", "trace", "exported program", "strided nested", "complex in bfloat16", "meta"],
)
def test_what_cannot_be_seen_ends_in_one_sentence(check: Callable[[], Report], sentence: str) -> None:
    with pytest.raises(GradhealthError) as caught:
        check()
    assert sentence in str(caught.value)
