"""The values in a trace, held against an independent oracle: torch.autograd.grad in float64, on expressions by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe
from gradcheck_health.probe.graph import graph
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import Gather, measure
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.measurements import TensorStats
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow


def look(model: nn.Module, *args: torch.Tensor, **options: Any) -> Trace:
    with sandbox(model):
        return probe(Subject(model, Inputs(args, batch=len(args[0])), **options))


def projected_gradients(
    model: nn.Module, x: torch.Tensor, of: list[torch.Tensor], y: torch.Tensor, seed: int = 0
) -> list[torch.Tensor]:
    """dL/dt for the tensors `of`, with the projection that the definition asks for."""
    r = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).double()
    loss = (y * r).sum() / math.sqrt(y[0].numel())
    return list(torch.autograd.grad(loss, of))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 5)
        self.inner = nn.Linear(5, 5)
        self.leave = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.enter(x))
        h = h + torch.relu(self.inner(h))
        out: torch.Tensor = self.leave(h)
        return out


def test_every_number_agrees_with_float64() -> None:
    torch.manual_seed(0)
    model, x = Residual().double(), torch.randn(7, 6).double()
    a = model.enter(x)
    h = torch.tanh(a)
    b = model.inner(h)
    s = h + torch.relu(b)
    y = model.leave(s)
    names = [name for name, _ in model.named_parameters()]
    tensors = [a, h, b, s, y]
    expected = projected_gradients(model, x, [*model.parameters(), *tensors], y)
    trace = look(model, x)
    for name, gradient in zip(names, expected[: len(names)], strict=True):
        seen = trace.parameters[name].gradient
        assert seen is not None
        assert seen.rms == pytest.approx(gradient.square().mean().sqrt().item(), rel=1e-12)
        assert seen.max == pytest.approx(gradient.abs().max().item(), rel=1e-12)
        value = dict(model.named_parameters())[name]
        assert trace.parameters[name].value.norm == pytest.approx(value.norm().item(), rel=1e-12)
    norms = [gradient.norm().item() for gradient in expected[len(names) :]]
    for layer, norm in (("enter", norms[0]), ("inner", norms[2]), ("leave", norms[4])):
        seen = trace.layers[layer].output_gradient
        assert seen is not None
        assert seen.norm == pytest.approx(norm, rel=1e-12)
    assert trace.layers["inner"].output.norm == pytest.approx(b.norm().item(), rel=1e-12)  # type: ignore[union-attr]
    # b lies inside a branch and is no cut point; all others are
    assert [point.gradient for point in trace.flow] == pytest.approx([norms[0], norms[1], norms[3], norms[4]], rel=1e-12)
    assert [point.op for point in trace.flow] == ["Addmm", "Tanh", "Add", "Addmm"]


def test_float32_agrees_with_float64() -> None:
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(7, 6)
    low = look(model, x)
    high = look(model.double(), x.double())
    for a, b in zip(low.flow, high.flow, strict=True):
        assert a.gradient == pytest.approx(b.gradient, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e-12, 1.0, 1e12, 1e25, 1e37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_statistics_survive_any_scale(scale: float, dtype: torch.dtype) -> None:
    values = (torch.randn(1000, generator=torch.Generator().manual_seed(0)).double() * scale).to(dtype)
    stats = measure(values)
    wide = values.double() / scale
    assert stats.rms == pytest.approx(wide.square().mean().sqrt().item() * scale, rel=1e-5)
    assert stats.max == pytest.approx(wide.abs().max().item() * scale, rel=1e-6)
    assert stats.finite
    assert not stats.is_zero


def test_statistics_count_what_is_not_finite() -> None:
    stats = measure(torch.tensor([3.0, 4.0, math.nan, math.inf, -math.inf]))
    assert (stats.nan, stats.inf, stats.max) == (1, 2, 4.0)
    assert stats.rms == pytest.approx(math.sqrt(12.5))


def test_zero_is_exact() -> None:
    assert measure(torch.zeros(5)).is_zero
    assert not measure(torch.tensor([0.0, 1e-45])).is_zero  # the smallest denormal
    assert measure(torch.zeros(0)).is_zero


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(4, 5).t(),
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.randn(64, dtype=torch.bfloat16),
        torch.randn(64).half(),
        torch.randn(8, dtype=torch.complex64),
        torch.randn(6, 6).to_sparse(),
        torch.randn(10)[::3],
        torch.randn(3, 1).expand(3, 7),
    ],
    ids=["transposed", "channels_last", "bfloat16", "half", "complex", "sparse", "strided", "expanded"],
)
def test_statistics_of_any_layout(tensor: torch.Tensor) -> None:
    gather = Gather()
    gather.add(tensor)
    (stats,) = gather.collect()
    dense = tensor.to_dense() if tensor.is_sparse else tensor
    dense = torch.view_as_real(dense) if dense.is_complex() else dense
    assert stats.norm == pytest.approx(dense.double().norm().item(), rel=1e-3 if tensor.element_size() == 2 else 1e-5)


def test_many_small_tensors_are_measured_as_each_alone() -> None:
    """Side by side in float64: of every scale and layout, with zeros, NaN and empty ones, against float64 one by one."""
    generator = torch.Generator().manual_seed(0)
    tensors: list[torch.Tensor | None] = [
        torch.randn(size, generator=generator) * scale
        for size in (1, 3, 1000, 1500)
        for scale in (0.0, 1e-45, 1e-30, 1.0, 1e30)
    ]
    tensors += [
        torch.tensor([1.0, math.nan]),
        None,
        torch.zeros(0),
        torch.arange(3),
        torch.randn(4, 5, generator=generator).t(),
    ]
    tensors += [torch.full((5,), 1e-200, dtype=torch.float64), torch.full((5,), 1e200, dtype=torch.float64)]
    gather = Gather()
    found = gather.add_all(tensors, extremes=True)
    stats = gather.collect()
    for tensor, index in zip(tensors, found, strict=True):
        if tensor is None or not tensor.is_floating_point():
            assert index is None
            continue
        one, wide = stats[index or 0], tensor.double()
        largest = wide.abs().nan_to_num().max().item() if wide.numel() else 0.0
        assert (one.numel, one.nan) == (wide.numel(), int(wide.isnan().sum()))
        assert one.max == pytest.approx(largest, rel=1e-6)
        assert one.is_zero == (largest == 0.0)
        finite = wide[wide.isfinite()] / (largest or 1.0)
        rms = finite.square().mean().sqrt().item() * largest if finite.numel() else 0.0
        assert one.rms == pytest.approx(rms, rel=1e-5)


def test_integers_have_no_statistics() -> None:
    assert Gather().add(torch.arange(5)) is None


def test_merged_statistics_are_those_of_the_whole() -> None:
    parts = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (3, 10, 100)]
    merged = TensorStats.merge([measure(part) for part in parts])
    whole = measure(torch.cat(parts))
    assert merged.rms == pytest.approx(whole.rms)
    assert (merged.numel, merged.max) == (whole.numel, whole.max)


def test_order_is_execution_order() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 4)
            self.first = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(self.first(x))
            return out

    trace = look(Backwards(), torch.randn(3, 4))
    assert list(trace.parameters) == ["first.bias", "first.weight", "last.bias", "last.weight"]
    assert list(trace.layers) == ["", "first", "last"]


def test_tied_parameters_count_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    trace = look(model, torch.randn(3, 4))
    assert trace.parameters["0.weight"].aliases == ("1.weight",)
    assert "1.weight" not in trace.parameters


def test_shared_module_is_called_twice() -> None:
    layer = nn.Linear(4, 4)
    trace = look(nn.Sequential(layer, nn.ReLU(), layer), torch.randn(3, 4))
    assert trace.layers["0"].calls == 2
    assert trace.layers["0"].output is not None
    assert trace.layers["0"].output.numel == 24


def test_in_place_relu_does_not_rewrite_what_was_seen() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(16, 64), nn.ReLU(inplace=True)), torch.randn(32, 16)
    expected = nn.functional.linear(x, model[0].weight, model[0].bias)
    trace = look(model, x)
    assert trace.layers["0"].output.rms == pytest.approx(expected.square().mean().sqrt().item(), rel=1e-5)  # type: ignore[union-attr]
    assert trace.layers["1"].output.rms == pytest.approx(expected.relu().square().mean().sqrt().item(), rel=1e-5)  # type: ignore[union-attr]


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_changes_no_gradient(reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self, how: bool | None) -> None:
            super().__init__()
            self.enter, self.inner, self.leave = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)
            self.how = how

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = torch.relu(self.enter(x))
            h = self.inner(h) if self.how is None else checkpoint(self.inner, h, use_reentrant=self.how)
            out: torch.Tensor = self.leave(torch.relu(h))
            return out

    torch.manual_seed(0)
    plain, wrapped = Checkpointed(None), Checkpointed(reentrant)
    wrapped.load_state_dict(plain.state_dict())
    x = torch.randn(5, 4)
    a, b = look(plain, x), look(wrapped, x)
    assert {n: p.gradient for n, p in a.parameters.items()} == {n: p.gradient for n, p in b.parameters.items()}
    assert b.layers["inner"].calls == 1  # the second run, during backward, is not forward


def test_gradient_inside_forward_is_not_taken_for_backward() -> None:
    class Pinn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.detach().requires_grad_()
            u = self.net(x)
            (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            return slope

    torch.manual_seed(0)
    model, x = Pinn().double(), torch.randn(9, 2).double()
    y = model(x)
    expected = projected_gradients(model, x, [model.net[0].weight], y)[0]
    trace = look(model, x)
    assert trace.parameters["net.0.weight"].gradient.norm == pytest.approx(expected.norm().item(), rel=1e-10)  # type: ignore[union-attr]


def test_units_that_are_off_are_counted_exactly() -> None:
    class Spellings(nn.Module):
        def __init__(self, how: Any) -> None:
            super().__init__()
            self.fc, self.how = nn.Linear(8, 10), how

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.how(self.fc(x))
            return out

    relu = nn.ReLU()
    spellings = [
        relu,
        nn.ReLU(inplace=True),
        nn.functional.relu,
        torch.relu,
        torch.relu_,
        lambda h: h.relu(),
        lambda h: h.clamp(min=0),
        lambda h: torch.clamp(h, min=0.0),
        lambda h: h.clamp_min(0),
        lambda h: torch.maximum(h, torch.zeros(())),
        nn.functional.relu6,
    ]
    for how in spellings:
        torch.manual_seed(0)
        model = Spellings(how)
        nn.init.constant_(model.fc.bias[:3].detach(), -100.0)
        (activation,) = look(model, torch.randn(64, 8)).activations
        assert (activation.units, activation.off, activation.producer) == (10, 3, "fc"), how


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.Sigmoid(), lambda z: (4 * z.sigmoid() * (1 - z.sigmoid())) ** 2),
        (nn.Tanh(), lambda z: (1 - z.tanh() ** 2) ** 2),
        (nn.Hardtanh(), lambda z: (z.abs() < 1).double()),
        (nn.Hardtanh(-3.0, 2.0), lambda z: ((z > -3) & (z < 2)).double()),
        (nn.Hardsigmoid(), lambda z: (z.abs() < 3).double()),
    ],
    ids=["sigmoid", "tanh", "hardtanh", "a wider hardtanh", "hardsigmoid"],
)
def test_saturated_units_are_those_of_the_derivative(layer: nn.Module, function: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 200), layer)
    model[0].weight.data.mul_(torch.logspace(-1, 2, 200)[:, None])
    x = torch.randn(64, 8)
    squared = function(model[0](x).double().detach()).mean(0)
    (activation,) = look(model, x).activations
    assert activation.saturated == int((squared < 0.1).sum()) and 0 < activation.saturated < 200


def test_channels_of_a_convolution_are_units() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
    nn.init.constant_(model[1].bias[:2].detach(), -100.0)
    (activation,) = look(model, torch.randn(8, 3, 9, 9)).activations
    assert (activation.units, activation.off, activation.producer) == (6, 2, "0")


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_what_is_not_seen_is_said() -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.func.vmap(self.fc)(x)

    assert any("vmap" in gap for gap in look(Mapped(), torch.randn(3, 4)).gaps)
    scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    assert any("Script" in gap for gap in look(scripted, torch.randn(3, 4)).gaps)


def test_objective_is_no_sum_and_no_mean() -> None:
    """A softmax head is blind to both: its rows sum to one whatever the weights are."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1)).double()
    x = torch.randn(4, 8).double()
    model(x).sum().backward()
    blind = model[0].weight.grad.norm().item()  # type: ignore[union-attr]
    seen = look(model, x).parameters["0.weight"].gradient
    assert seen is not None
    assert seen.norm > 1e10 * blind


def test_own_loss_is_taken_at_its_word() -> None:
    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 1)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            y = self.fc(x)
            return {"loss": y.square().mean(), "logits": y}

    torch.manual_seed(0)
    model, x = WithLoss(), torch.randn(6, 4)
    model(x)["loss"].backward()
    assert model.fc.weight.grad is not None
    expected = model.fc.weight.grad.norm().item()
    trace = look(model, x)
    assert trace.objective == "the model's own loss"
    assert trace.parameters["fc.weight"].gradient.norm == pytest.approx(expected, rel=1e-6)  # type: ignore[union-attr]
    assert [out.probed for out in trace.outputs] == [True, False]


def test_projection_is_the_same_question_in_every_precision() -> None:
    y = torch.ones(3, 4, requires_grad=True)
    low = objective(y * 1, loss=None, batch=3, seed=5).gradients[0]
    high = objective(y.double() * 1, loss=None, batch=3, seed=5).gradients[0]
    assert torch.equal(low.double(), high)


def test_tied_embedding_does_not_hide_the_blocks() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(11, 8)
            self.body = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.body(self.embed(ids)) @ self.embed.weight.t()

    trace = look(Tied(), torch.randint(0, 11, (4, 5)))
    seen = dict.fromkeys(point.layer for point in trace.flow if point.layer.startswith("body"))
    assert list(seen) == ["body.0", "body.1", "body.2", "body.3"]


def test_a_second_stream_that_joins_is_marked() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
            self.query, self.head = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            memory, stream = self.memory(x), self.query(y)
            for _ in range(2):
                stream = stream + 1e-6 * torch.tanh(stream + memory)
            out: torch.Tensor = self.head(stream)
            return out

    trace = look(Attends(), torch.randn(6, 4), torch.randn(6, 3))
    assert [point.op for point in trace.flow if point.merges] == ["Add"]
    ratio = flow.ratio(trace)
    assert ratio is not None
    assert 0.01 < ratio < 100  # of the memory's own layers; the branch keeps a millionth, and the stream goes on in the query


def test_graph_beyond_the_cap_falls_back_to_module_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = graph.walk
    monkeypatch.setattr(graph, "walk", lambda roots: walk(roots, cap=5))
    trace = look(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), torch.randn(3, 4))
    assert trace.flow_by == "module outputs"
    assert [point.layer for point in trace.flow] == ["0", "1", "2"]
    assert any("autograd graph" in gap for gap in trace.gaps)
