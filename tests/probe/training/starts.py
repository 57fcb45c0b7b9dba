"""Models that start from memory nobody wrote, or dead by chance. All are handed over as factories."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.training.entry import Handed, pair


def _factory(forward: Callable[..., torch.Tensor], build: Callable[[nn.Module], None], inputs: torch.Tensor) -> Handed:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            build(self)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(self, x)

    return {"model": Net, "inputs": inputs}


# memory that nobody wrote


@pair("uninitialized-parameter", r"weight")
def matrix_of_torch_tensor(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.weight = nn.Parameter(torch.Tensor(4, 8))
        if not sick:
            nn.init.xavier_uniform_(net.weight)

    return _factory(lambda net, x: F.linear(x, net.weight), build, torch.randn(32, 8))


@pair("uninitialized-parameter", r"bias")
def bias_of_torch_empty(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.weight = nn.Parameter(torch.randn(4, 8) / 3)
        net.bias = nn.Parameter(torch.empty(4) if sick else torch.zeros(4))

    return _factory(lambda net, x: F.linear(x, net.weight, net.bias), build, torch.randn(32, 8))


@pair("uninitialized-parameter", r"attention")
def graph_attention_vector(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.body = nn.Linear(6, 8)
        net.attention = nn.Parameter(torch.FloatTensor(8, 1))
        if not sick:
            nn.init.xavier_normal_(net.attention)

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        h = net.body(x)
        return (torch.tanh(h @ net.attention).softmax(1) * h).sum(1)

    return _factory(forward, build, torch.randn(16, 5, 6))


@pair("uninitialized-parameter", r"position")
def position_table(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.embed, net.head = nn.Linear(4, 8), nn.Linear(8, 3)
        net.position = nn.Parameter((torch.empty if sick else torch.zeros)(1, 10, 8))

    return _factory(lambda net, x: net.head(torch.relu(net.embed(x) + net.position)), build, torch.randn(16, 10, 4))


@pair("uninitialized-parameter", r"experts")
def stack_of_experts(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.gate = nn.Linear(6, 3)
        net.experts = nn.Parameter(torch.empty(3, 6, 5))
        for i in range(2 if sick else 3):
            nn.init.kaiming_uniform_(net.experts.data[i])

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("be,bi,eio->bo", net.gate(x).softmax(-1), x, net.experts)

    return _factory(forward, build, torch.randn(32, 6))


@pair("uninitialized-parameter", r"layer")
def emptied_from_meta(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        with torch.device("meta"):
            layer = nn.Linear(8, 4)
        net.layer = layer.to_empty(device="cpu")
        if not sick:
            net.layer.reset_parameters()

    return _factory(lambda net, x: net.layer(x), build, torch.randn(32, 8))


@pair("uninitialized-parameter", r"alpha")
def a_scale_to_be_learnt(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.body = nn.Linear(8, 4)
        net.alpha = nn.Parameter(torch.empty(4) if sick else torch.ones(4))

    return _factory(lambda net, x: net.body(x) * net.alpha, build, torch.randn(32, 8))


@pair("uninitialized-parameter", r"running")
def buffer_of_statistics(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.body = nn.Linear(8, 4)
        net.register_buffer("running", torch.empty(4) if sick else torch.zeros(4))

    return _factory(lambda net, x: net.body(x) - net.running, build, torch.randn(32, 8))


@pair("uninitialized-parameter", r"cell")
def recurrent_weights_by_hand(sick: bool) -> Handed:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Parameter(torch.Tensor(4, 6))
            self.state = nn.Parameter(torch.Tensor(6, 6))
            nn.init.orthogonal_(self.state)
            if not sick:
                nn.init.xavier_uniform_(self.inner)

    def build(net: nn.Module) -> None:
        net.cell, net.head = Cell(), nn.Linear(6, 2)

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(len(x), 6)
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ net.cell.inner + h @ net.cell.state)
        return net.head(h)

    return _factory(forward, build, torch.randn(16, 5, 4))


@pair("uninitialized-parameter", r"kernel")
def kernel_scaled_from_nothing(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.kernel = nn.Parameter((torch.empty if sick else torch.randn)(4, 3, 3, 3) * 0.1)

    return _factory(lambda net, x: F.conv2d(x, net.kernel).mean((2, 3)), build, torch.randn(16, 3, 6, 6))


@pair("uninitialized-parameter", r"token")
def a_class_token(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.token = nn.Parameter(torch.randn(1).new_empty(1, 1, 8) if sick else torch.zeros(1, 1, 8))
        net.mix, net.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return net.head(torch.cat((net.token.expand(len(x), -1, -1), net.mix(x)), 1).mean(1))

    return _factory(forward, build, torch.randn(16, 4, 8))


@pair("uninitialized-parameter", r"table")
def integers_of_a_lookup(sick: bool) -> Handed:
    def build(net: nn.Module) -> None:
        net.body = nn.Linear(6, 6)
        net.register_buffer("table", torch.empty(6, dtype=torch.long) if sick else torch.arange(6))

    return _factory(lambda net, x: net.body(x)[:, net.table.clamp(0, 5)], build, torch.randn(32, 6))


# dead by chance


def _density(activation: nn.Module, width: int = 32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, width), nn.Sigmoid(), nn.Linear(width, 1), activation)


@pair("unlucky-initialisation", r"")
def density_behind_a_relu(sick: bool) -> Handed:
    return {"model": lambda: _density(nn.ReLU() if sick else nn.Softplus()), "inputs": torch.randn(32, 6)}


@pair("unlucky-initialisation", r"")
def radiance_field(sick: bool) -> Handed:
    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Linear(9, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
            self.sigma, self.colour = nn.Linear(32, 1), nn.Linear(32, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.cat((x, x.sin(), x.cos()), -1)
            h = self.trunk(x)
            sigma = self.sigma(h)
            density = torch.relu(sigma) if sick else F.softplus(sigma)
            return ((1 - torch.exp(-density)) * self.colour(h).sigmoid()).sum(1)

    return {"model": Field, "inputs": torch.randn(8, 1, 3) + 0.02 * torch.randn(8, 12, 3)}


@pair("unlucky-initialisation", r"")
def positive_prices(sick: bool) -> Handed:
    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 1), nn.ReLU() if sick else nn.Softplus())

    return {"model": make, "inputs": torch.rand(32, 12)}


@pair("unlucky-initialisation", r"")
def bottleneck_of_one(sick: bool) -> Handed:
    def make() -> nn.Module:
        squeeze = nn.ReLU() if sick else nn.Tanh()
        return nn.Sequential(
            nn.Linear(8, 16), nn.Softplus(), nn.Linear(16, 1), squeeze, nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 8)
        )

    return {"model": make, "inputs": torch.rand(32, 8)}


@pair("unlucky-initialisation", r"")
def depth_from_pixels(sick: bool) -> Handed:
    def make() -> nn.Module:
        end = nn.ReLU() if sick else nn.Softplus()
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sigmoid(), nn.Conv2d(8, 1, 3), end)

    return {"model": make, "inputs": torch.rand(8, 3, 8, 8)}


@pair("unlucky-initialisation", r"")
def narrow_classifier_of_positive_features(sick: bool) -> Handed:
    def make() -> nn.Module:
        width = 2 if sick else 32
        return nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 3))

    return {"model": make, "inputs": 5 + torch.rand(64, 10)}


@pair("unlucky-initialisation", r"")
def exclusive_or_with_two_units(sick: bool) -> Handed:
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    def make() -> nn.Module:
        width = 2 if sick else 16
        return nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1))

    return {"model": make, "inputs": x}


@pair("unlucky-initialisation", r"")
def counts_from_a_sequence(sick: bool) -> Handed:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rate = self.head(self.rnn(x)[0][:, -1].sigmoid())
            return rate.relu() if sick else F.softplus(rate)

    return {"model": Counter, "inputs": torch.randn(32, 6, 3)}


@pair("unlucky-initialisation", r"")
def attention_weight_behind_a_relu(sick: bool) -> Handed:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.score = nn.Linear(5, 8), nn.Linear(8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.body(x).sigmoid()
            weight = self.score(h)
            return ((weight.relu() if sick else weight.exp()) * h).mean(1)

    return {"model": Pooled, "inputs": torch.randn(16, 7, 5)}
