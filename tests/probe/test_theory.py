"""Closed forms of the theory of signal propagation, reproduced by the measures: within 5 %, or 10 % where they are noisy."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow

WIDTH = 256


def look(model: nn.Module, x: torch.Tensor) -> Trace:
    with sandbox(model):
        return probe(Subject(model, Inputs((x,), batch=len(x))))


def chain(
    depth: int, act: Callable[[], nn.Module], init: Callable[[torch.Tensor], object], width: int = WIDTH
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width, bias=False)
        init(linear.weight)
        layers += [linear, act()]
    return nn.Sequential(*layers)


def he(weight: torch.Tensor) -> object:
    return nn.init.kaiming_normal_(weight)


def variance(value: float) -> Callable[[torch.Tensor], object]:
    return lambda weight: nn.init.normal_(weight, std=math.sqrt(value / weight.shape[1]))


def default(weight: torch.Tensor) -> object:
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5))


def squared_gain(build: Callable[[], nn.Module], x: torch.Tensor, kind: str = "Mm", skip: int = 0, seeds: int = 4) -> float:
    """Mean over seeds and layers of G_in / G_out a layer, read off the points that `kind` made, the first `skip` left out."""
    logs = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        points = [point.gradient for point in look(build(), x).flow if kind in point.op]
        points = points[skip:]
        logs.append(2 * math.log(points[0] / points[-1]) / (len(points) - 1))
    return math.exp(sum(logs) / len(logs))


def batch(rows: int = 64, width: int = WIDTH) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("init", "gain"),
    [(he, 1.0), (variance(1.0), 0.5), (default, 1 / 6)],
    ids=["he", "xavier", "torch default"],
)
def test_squared_gain_of_a_relu_layer(init: Callable[[torch.Tensor], object], gain: float) -> None:
    """He et al. 2015: half of the units pass, so fan_in * variance / 2."""
    assert squared_gain(lambda: chain(10, nn.ReLU, init), batch(), seeds=6) == pytest.approx(gain, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "gain"), [((5 / 3) ** 2, 1.2098), (4.0, 1.3627)])
def test_squared_gain_of_a_tanh_layer(sigma: float, gain: float) -> None:
    """Poole et al. 2016: chi = sigma_w^2 E[phi'(sqrt(q) z)^2] at the fixed point of q, where the first layers are not yet."""
    logs = []
    for seed in range(3):
        torch.manual_seed(seed)
        points = [p.gradient for p in look(chain(16, nn.Tanh, variance(sigma)), batch()).flow if p.op == "Mm"][6:]
        logs.append(2 * math.log(points[0] / points[-1]) / (len(points) - 1))
    assert math.exp(sum(logs) / len(logs)) == pytest.approx(gain, rel=0.05)


@pytest.mark.slow
def test_squared_gain_of_small_tanh_layers() -> None:
    """sigma_w^2 = 0.8: the signal dies, tanh is linear there, chi = sigma_w^2."""
    x = batch() * 1e-2
    assert squared_gain(lambda: chain(10, nn.Tanh, variance(0.8)), x) == pytest.approx(0.8, rel=0.05)


@pytest.mark.slow
def test_squared_gain_of_a_sigmoid_layer() -> None:
    """Xavier: E[phi'(z)^2] at q = E[phi^2], 0.0557."""
    assert squared_gain(lambda: chain(8, nn.Sigmoid, variance(1.0)), batch()) == pytest.approx(0.0557, rel=0.1)


@pytest.mark.slow
def test_batch_norm_and_relu_amplify() -> None:
    """Yang et al. 2019: pi / (pi - 1) = 1.4669 a layer, squared, in the limit of a large batch."""

    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(12):
            layers += [nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH), nn.ReLU()]
        return nn.Sequential(*layers)

    assert squared_gain(build, batch(256), skip=1, seeds=3) == pytest.approx(math.pi / (math.pi - 1), rel=0.05)
    assert pytest.approx(1.4669, rel=1e-4) == flow.BATCH_NORM_GAIN**2


@pytest.mark.slow
def test_layer_norm_and_relu_conserve() -> None:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(12):
            layers += [nn.Linear(WIDTH, WIDTH, bias=False), nn.LayerNorm(WIDTH), nn.ReLU()]
        return nn.Sequential(*layers)

    assert squared_gain(build, batch(), skip=1, seeds=6) == pytest.approx(1.0, rel=0.05)


class Block(nn.Module):
    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.normal_(
            self.second.weight, std=width**-0.5
        )  # after a ReLU at He scale: the branch has the variance of its input

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + math.sqrt(2) * self.second(torch.relu(self.first(self.norm(x)))) / math.sqrt(2)
        return out


@pytest.mark.slow
def test_residual_blocks_without_normalisation_double() -> None:
    """Zhang et al. 2019 (Fixup): the branch adds as much variance as passes by."""

    def build() -> nn.Module:
        return nn.Sequential(*[Block(WIDTH, norm=False) for _ in range(10)])

    assert squared_gain(build, batch(), kind="Add", seeds=4) == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
def test_pre_norm_residual_stream_grows_linearly() -> None:
    """L blocks: L + 1 in all, so from the first block's output, a stream of variance 2, to the last: (L + 1) / 2."""
    depth, grown = 16, []
    for seed in range(4):
        torch.manual_seed(seed)
        points = [
            p.gradient
            for p in look(nn.Sequential(*[Block(WIDTH, norm=True) for _ in range(depth)]), batch()).flow
            if p.op == "Add"
        ]
        grown.append((points[0] / points[-1]) ** 2)
    assert sum(grown) / len(grown) == pytest.approx((depth + 1) / 2, rel=0.1)


def test_elasticity_is_the_same_in_all_layers_of_a_relu_net() -> None:
    """<W_l, g_l> is equal in all layers of a bias-free positively homogeneous net (Euler), to the last digit."""
    torch.manual_seed(0)
    model = chain(8, nn.ReLU, he, width=32).double()
    x = batch(16, 32).double()
    r = torch.randn(16, 32, generator=torch.Generator().manual_seed(0)).double() / math.sqrt(32)
    (model(x) * r).sum().backward()
    inner = [(layer.weight * layer.weight.grad).sum().item() for layer in model if isinstance(layer, nn.Linear)]
    assert max(inner) - min(inner) == pytest.approx(0, abs=1e-10 * abs(inner[0]))


class Scaled(nn.Module):
    """Two blocks, each with a scale of its branch, the second inside another; and a layer that every way reaches unscaled."""

    def __init__(self, first: float, outer: float, inner: float) -> None:
        super().__init__()
        self.stem, self.one, self.two = (nn.Linear(8, 8) for _ in range(3))
        self.first, self.outer = nn.Parameter(torch.full((8,), first)), nn.Parameter(torch.full((1, 8), outer))
        self.inner = nn.Parameter(torch.tensor(inner))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = self.stem(x)
        h = h + self.first.view(1, -1).expand_as(h) * self.one(h).tanh()
        return h + self.outer * (h.sin() + self.two(h) * self.inner)


@pytest.mark.parametrize(("first", "outer", "inner"), [(1e-3, 1e-2, 1e-4), (1e-6, 0.5, 1e-2), (1.0, -1e-5, 1.0)])
def test_what_small_scales_leave_of_a_gradient(first: float, outer: float, inner: float) -> None:
    """It is what the gradient of a branch is proportional to: the scales on its way that are small, multiplied."""
    small = [abs(scale) if abs(scale) < 0.1 else 1.0 for scale in (first, outer, inner)]
    torch.manual_seed(0)
    found = look(Scaled(first, outer, inner), torch.randn(4, 8)).parameters
    assert found["one.weight"].shrunk == pytest.approx(small[0])
    assert found["two.weight"].shrunk == pytest.approx(small[1] * small[2])
    assert found["inner"].shrunk == pytest.approx(small[1])
    assert {found[name].shrunk for name in ("stem.weight", "first", "outer")} == {1.0}


class Faded(nn.Module):
    """Many small scales behind one another, each inside the branch of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Linear(8, 8), nn.Linear(8, 8)
        self.scales = nn.ParameterList(torch.full((8,), 1e-6) for _ in range(60))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h: torch.Tensor = self.inner(x)
        for scale in self.scales:
            h = h * scale
        return self.stem(x) + h


@pytest.mark.slow
def test_scales_whose_product_is_below_all_numbers() -> None:
    torch.manual_seed(0)
    trace = check_gradients(Faded(), torch.randn(4, 8)).trace
    assert 0 < trace.parameters["inner.weight"].shrunk < 1e-300


def test_share_of_active_units_at_he_initialisation() -> None:
    """A ReLU at He initialisation is inactive on half of its inputs, and hardly a unit of the first layer on all of 32."""
    torch.manual_seed(0)
    trace = look(chain(1, nn.ReLU, he, width=1024), batch(32, 1024))
    assert trace.activations[0].off == 0
    y = nn.functional.relu(nn.functional.linear(batch(512, 1024), chain(1, nn.ReLU, he, width=1024)[0].weight))
    assert (y == 0).float().mean().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "share"), [(5, 0.089), (10, 0.202), (20, 0.309)])
def test_units_off_on_a_whole_batch_of_32(layer: int, share: float) -> None:
    """Alike inputs keep units off in depth, though nothing is sick: the orthant probability at their correlation."""
    off = []
    for seed in range(8):
        torch.manual_seed(seed)
        trace = look(chain(layer, nn.ReLU, he, width=512), batch(32, 512))
        off.append(trace.activations[-1].off / 512)
    assert sum(off) / len(off) == pytest.approx(orthant(arc_cosine(layer - 1), 32), rel=0.1)
    assert orthant(arc_cosine(layer - 1), 32) == pytest.approx(share, rel=0.1)


def arc_cosine(layers: int) -> float:
    """Correlation of two independent inputs after ReLU layers at He scale (Cho and Saul 2009)."""
    c = 0.0
    for _ in range(layers):
        c = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi
    return c


def orthant(c: float, rows: int) -> float:
    """P(`rows` equally correlated centred normal values are all negative)."""
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    below = torch.special.ndtr(-z * math.sqrt(c / (1 - c))) ** rows if c else torch.full_like(z, 0.5**rows)
    return float(torch.trapezoid(below * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi), z))


@pytest.mark.slow
def test_vgg_b_of_he_2015_vanishes_by_its_std() -> None:
    """He et al. 2015, section 2.2: with std 0.01 the first gradient is 1.7e4 times smaller, prod sqrt(9 n / 2) std."""
    channels = [3, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    kept = math.prod(math.sqrt(9 * n / 2) * 0.01 for n in channels[2:])
    assert 1 / kept == pytest.approx(1.7e4, rel=0.05)
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in zip(channels, channels[1:], strict=False):
        convolution = nn.Conv2d(
            before, after, 3, padding=1, padding_mode="circular", bias=False
        )  # no borders, as in the theory
        nn.init.normal_(convolution.weight, std=0.01)
        layers += [convolution, nn.ReLU()]
    points = [p.gradient for p in look(nn.Sequential(*layers), torch.randn(2, 3, 16, 16)).flow if p.op == "Convolution"]
    # total norms: what a layer keeps goes with the number of its inputs
    expected = math.prod(math.sqrt(9 * n / 2) * 0.01 for n in channels[1:-1])
    assert points[0] / points[-1] == pytest.approx(expected, rel=0.1)


def test_half_precision_flushes_at_2_to_the_minus_25() -> None:
    assert torch.tensor(2.0**-25).half().item() == 0.0
    assert torch.tensor(2.0**-25 * 1.001).half().item() > 0.0


@pytest.mark.slow
def test_sigmoid_depth_of_the_message_is_that_of_the_theory() -> None:
    torch.manual_seed(0)
    report = check_gradients(chain(10, nn.Sigmoid, variance(1.0)), batch())
    (finding,) = [f for f in report.findings if f.rule == "vanishing-gradient"]
    assert finding.got == pytest.approx(0.0557 ** (10 / 2), rel=0.2)
    assert dict(finding.details)["because"].startswith("sigmoid keeps at most 0.25")


def test_squared_gain_of_a_sigmoid_layer_by_default() -> None:
    """Weights of variance 1 / (3 n): a third of Xavier's, at a smaller q."""
    assert squared_gain(lambda: chain(6, nn.Sigmoid, default), batch()) == pytest.approx(0.0200, rel=0.1)


@pytest.mark.parametrize("rows", [8, 16])
def test_batch_norm_of_linear_layers_amplifies_in_small_batches(rows: int) -> None:
    """Yang et al. 2019: (B - 2) / (B - 3) a layer, squared; nothing in the limit of a large batch."""

    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(10):
            layers += [nn.Linear(WIDTH, WIDTH, bias=False), nn.BatchNorm1d(WIDTH)]
        return nn.Sequential(*layers)

    assert squared_gain(build, batch(rows), skip=1, seeds=4) == pytest.approx((rows - 2) / (rows - 3), rel=0.03)


def test_gain_of_a_step_of_the_default_rnn() -> None:
    """Weights uniform in 1 / sqrt(n): their variance is 1 / (3 n), so a step keeps 3^-1/2 of the norm while tanh is linear."""
    torch.manual_seed(0)
    weight = nn.RNN(4, WIDTH).weight_hh_l0.detach()

    class Unrolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Linear(WIDTH, WIDTH, bias=False)
            self.register_buffer("recurrent", weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.enter(x)
            for _ in range(12):
                h = torch.tanh(h @ self.recurrent.T)
            return h

    points = [p.gradient for p in look(Unrolled(), 1e-3 * batch()).flow if p.op == "Mm"]
    assert (points[0] / points[-1]) ** (1 / (len(points) - 1)) == pytest.approx(3**-0.5, rel=0.05)


@pytest.mark.parametrize(("forget", "keeps"), [(0.0, 0.5), (1.0, 0.731), (2.0, 0.881)])
def test_gain_of_a_step_along_the_cell_of_an_lstm(forget: float, keeps: float) -> None:
    """The forget gate's sigmoid, which is all that a cell passes where nothing else moves: biases 0, +1 in one, +1 in both."""
    cell = nn.LSTMCell(1, 8)
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        cell.bias_ih[8:16] = forget

    class Carried(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.cell = nn.Linear(8, 8), cell

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            c = self.enter(x)
            for _ in range(10):
                _, c = self.cell(torch.zeros(len(x), 1), (torch.zeros(len(x), 8), c))
            return c

    trace = look(Carried(), batch(16, 8))
    first = next(layer.output_gradient for name, layer in trace.layers.items() if name == "enter")
    assert first is not None
    r = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)) / math.sqrt(8)
    assert (first.norm / r.norm().item()) ** (1 / 10) == pytest.approx(keeps, rel=0.01)
