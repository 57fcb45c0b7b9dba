"""Sound models over graphs, sequences and sets."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class GCN(nn.Module):
    """Two graph convolutions with the normalised adjacency matrix (Kipf & Welling 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        degree = adjacency.sum(1).rsqrt()
        mixing = degree[:, None] * adjacency * degree[None]
        return mixing @ self.second(F.relu(mixing @ self.first(x)))


@sound
def gcn() -> Built:
    edges = (torch.rand(40, 40) < 0.1).float()
    return GCN(), (torch.randn(40, 8), ((edges + edges.T + torch.eye(40)) > 0).float())


class GAT(nn.Module):
    """Attention over an edge list, softmax by scatter (Velickovic et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 32, bias=False)
        self.source, self.target = nn.Linear(32, 1, bias=False), nn.Linear(32, 1, bias=False)
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = self.project(x)
        start, end = edges
        score = F.leaky_relu(self.source(h)[start] + self.target(h)[end], 0.2).squeeze(-1)
        weight = (score - score.max().detach()).exp()
        total = torch.zeros(x.shape[0]).index_add(0, end, weight)
        mixed = torch.zeros_like(h).index_add(0, end, h[start] * (weight / total[end])[:, None])
        return self.head(F.elu(mixed))


@sound
def gat() -> Built:
    loops = torch.arange(40).expand(2, -1)
    return GAT(), (torch.randn(40, 8), torch.cat((torch.randint(0, 40, (2, 160)), loops), dim=1))


class WaveNetLayer(nn.Module):
    """A gated, dilated, causal convolution with a residual and a skip output."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.pad = dilation
        self.filter, self.gate = (nn.Conv1d(width, width, 2, dilation=dilation) for _ in range(2))
        self.residual, self.skip = nn.Conv1d(width, width, 1), nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        padded = F.pad(x, (self.pad, 0))
        h = torch.tanh(self.filter(padded)) * torch.sigmoid(self.gate(padded))
        return x + self.residual(h), self.skip(h)


class WaveNet(nn.Module):
    """Only the skips reach the output: the last layer's residual is never trained, and says so."""

    def __init__(self, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, width, 1)
        self.layers = nn.ModuleList(WaveNetLayer(width, 2**i) for i in range(depth))
        self.layers[-1].residual.requires_grad_(False)
        self.leave = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        h, total = self.enter(x), torch.zeros(())
        for layer in self.layers:
            h, skip = layer(h)
            total = total + skip
        return self.leave(total)


@sound
def wavenet() -> Built:
    return WaveNet(), torch.randn(8, 1, 32)


class SelectiveScan(nn.Module):
    """Mamba's block: a short convolution, an input-dependent scan, a gate (Gu & Dao 2023)."""

    def __init__(self, width: int = 16, state: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, 2 * width)
        self.conv = nn.Conv1d(width, width, 3, padding=2, groups=width)
        self.select = nn.Linear(width, 2 * state)
        self.step = nn.Linear(width, width)
        self.a_log = nn.Parameter(torch.log(torch.arange(1.0, state + 1)).repeat(width, 1))
        self.skip = nn.Parameter(torch.ones(width))
        self.leave = nn.Linear(width, width)
        nn.init.constant_(self.step.bias, -3.0)

    def forward(self, x: Tensor) -> Tensor:
        inside, gate = self.enter(self.norm(x)).chunk(2, dim=-1)
        u = F.silu(self.conv(inside.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        step = F.softplus(self.step(u))
        into, out = self.select(u).chunk(2, dim=-1)
        decay = torch.exp(-step.unsqueeze(-1) * self.a_log.exp())
        h, outputs = torch.zeros_like(decay[:, 0]), []
        for t in range(x.shape[1]):
            h = decay[:, t] * h + (step[:, t] * u[:, t]).unsqueeze(-1) * into[:, t].unsqueeze(1)
            outputs.append((h * out[:, t].unsqueeze(1)).sum(-1))
        return x + self.leave((torch.stack(outputs, dim=1) + u * self.skip) * F.silu(gate))


@sound
def mamba_scan() -> Built:
    return nn.Sequential(nn.Linear(6, 16), SelectiveScan(), SelectiveScan(), nn.LayerNorm(16), nn.Linear(16, 5)), torch.randn(
        8, 12, 6
    )


class Tagger(nn.Module):
    """A bidirectional LSTM with a score for every position."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(60, 16)
        self.lstm = nn.LSTM(16, 24, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(48, 6)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.tokens(ids))[0])


@sound
def bidirectional_lstm() -> Built:
    return Tagger(), torch.randint(0, 60, (16, 12))


class DeepSets(nn.Module):
    """A permutation-invariant sum over a set (Zaheer et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.element = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.whole = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(self.element(x).sum(1))


@sound
def deep_sets() -> Built:
    return DeepSets(), torch.randn(32, 10, 3)
