"""Sound models of graphs, points, sets and molecules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound, sound_if


class Neighbours(nn.Module):
    """Features of edges to the nearest neighbours, the largest of them (DGCNN)."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(2 * wide, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        near = torch.cdist(x.transpose(1, 2), x.transpose(1, 2)).topk(5, dim=2, largest=False)[1]
        index = near.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)
        other = x.gather(2, index).view(*x.shape, 5)
        centre = x.unsqueeze(3).expand_as(other)
        return self.mlp(torch.cat([centre, other - centre], dim=1)).amax(3)


class Cloud(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = Neighbours(3, 16), Neighbours(16, 32), nn.Linear(48, 5)

    def forward(self, points: Tensor) -> Tensor:
        a = self.first(points)
        return self.head(torch.cat([a, self.second(a)], dim=1).amax(2))


@sound
def edges_to_the_nearest_points() -> Built:
    return Cloud(), torch.randn(8, 3, 24)


class PointNet(nn.Module):
    """Points through a learnt alignment that begins as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.align = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU())
        self.matrix = nn.Linear(32, 9)
        nn.init.zeros_(self.matrix.weight)
        with torch.no_grad():
            self.matrix.bias.copy_(torch.eye(3).flatten())
        self.body, self.head = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU()), nn.Linear(32, 4)

    def forward(self, points: Tensor) -> Tensor:
        matrix = self.matrix(self.align(points).amax(2)).view(-1, 3, 3)
        return self.head(self.body(matrix @ points).amax(2))


@sound
def points_behind_a_learnt_alignment() -> Built:
    return PointNet(), torch.randn(16, 3, 20)


class Messages(nn.Module):
    """Messages over edges and a GRU that keeps the state of a node (MPNN), a sum over each graph."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.message, self.update = nn.Linear(5, 16), nn.Linear(32 + 3, 16), nn.GRUCell(16, 16)
        self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        h = torch.tanh(self.enter(x))
        for _ in range(3):
            m = torch.relu(self.message(torch.cat([h[edge_index[0]], h[edge_index[1]], edge_attr], dim=1)))
            h = self.update(torch.zeros_like(h).index_add(0, edge_index[1], m), h)
        return self.head(h.sum(0))


@sound_if(batch_axis=None)
def messages_with_a_gru() -> Built:
    return Messages(), (torch.randn(12, 5), torch.randint(0, 12, (2, 40)), torch.randn(40, 3))


class Isomorphism(nn.Module):
    """Sums over neighbours and an MLP with batch norm (GIN), eps begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.eps = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(3))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(w, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()) for w in (6, 16, 16)
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        for eps, mlp in zip(self.eps, self.mlps, strict=True):
            x = mlp((1 + eps) * x + adjacency @ x)
        return self.head(x)


@sound_if(batch_axis=None)
def sums_over_neighbours() -> Built:
    return Isomorphism(), (torch.randn(30, 6), (torch.rand(30, 30) < 0.15).float())


class Filters(nn.Module):
    """Continuous filters of distances, and the force as the derivative of the energy (SchNet)."""

    def __init__(self) -> None:
        super().__init__()
        self.atoms = nn.Embedding(10, 16)
        self.filters = nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.Softplus(), nn.Linear(16, 16)) for _ in range(2))
        self.mix = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))
        self.energy = nn.Sequential(nn.Linear(16, 8), nn.Softplus(), nn.Linear(8, 1))
        self.register_buffer("centres", torch.linspace(0, 5, 12))

    def forward(self, numbers: Tensor, positions: Tensor) -> Tensor:
        d = ((positions.unsqueeze(2) - positions.unsqueeze(1)) ** 2).sum(-1).add(1e-6).sqrt()
        bases = torch.exp(-4 * (d.unsqueeze(-1) - self.centres) ** 2)
        h = self.atoms(numbers)
        for filters, mix in zip(self.filters, self.mix, strict=True):
            h = h + torch.tanh(mix((filters(bases) * h.unsqueeze(1)).sum(2)))
        return self.energy(h).sum((1, 2))


@sound
def continuous_filters_of_distances() -> Built:
    return Filters(), (torch.randint(0, 10, (8, 6)), 2 * torch.randn(8, 6, 3))


class Inducing(nn.Module):
    """Attention through inducing points and pooling by a seed (Set Transformer)."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.points = nn.Linear(3, 24), nn.Parameter(torch.empty(1, 4, 24))
        self.seed = nn.Parameter(torch.empty(1, 1, 24))
        nn.init.xavier_uniform_(self.points)
        nn.init.xavier_uniform_(self.seed)
        self.into, self.back, self.pool = (nn.MultiheadAttention(24, 4, batch_first=True) for _ in range(3))
        self.head = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        points = self.points.expand(len(x), -1, -1)
        points = points + self.into(points, h, h, need_weights=False)[0]
        h = h + self.back(h, points, points, need_weights=False)[0]
        seed = self.seed.expand(len(x), -1, -1)
        return self.head(self.pool(seed, h, h, need_weights=False)[0].squeeze(1))


@sound
def attention_through_inducing_points() -> Built:
    return Inducing(), torch.randn(16, 12, 3)


class Slots(nn.Module):
    """Slots that compete for the inputs, three rounds of a GRU (Locatello et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_std = nn.Parameter(torch.randn(1, 1, 24) * 0.2), nn.Parameter(torch.zeros(1, 1, 24))
        self.norm_in, self.norm_slots, self.norm_mlp = nn.LayerNorm(16), nn.LayerNorm(24), nn.LayerNorm(24)
        self.q, self.k, self.v = nn.Linear(24, 24, False), nn.Linear(16, 24, False), nn.Linear(16, 24, False)
        self.update, self.mlp = nn.GRUCell(24, 24), nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 24))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_in(x)
        k, v = self.k(x), self.v(x)
        slots = self.mean + self.log_std.exp() * torch.randn(len(x), 4, 24)
        for _ in range(3):
            weights = F.softmax(k @ self.q(self.norm_slots(slots)).transpose(1, 2) / 24**0.5, dim=-1) + 1e-8
            updates = (weights / weights.sum(1, keepdim=True)).transpose(1, 2) @ v
            slots = self.update(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
            slots = slots + self.mlp(self.norm_mlp(slots))
        return slots


@sound
def slots_that_compete() -> Built:
    return Slots(), torch.randn(8, 20, 16)


class Pointer(nn.Module):
    """Where in the input the next one is: an attention that is the output (Vinyals et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.cell = nn.LSTM(2, 16, batch_first=True), nn.LSTMCell(2, 16)
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 1)

    def forward(self, points: Tensor) -> Tensor:
        memory, (h, c) = self.encoder(points)
        state, last, out = (h[0], c[0]), torch.zeros(len(points), 2), []
        for _ in range(points.shape[1]):
            state = self.cell(last, state)
            scores = self.v(torch.tanh(self.k(memory) + self.q(state[0]).unsqueeze(1))).squeeze(2)
            out.append(F.log_softmax(scores, dim=1))
            last = points[torch.arange(len(points)), scores.argmax(1)]
        return torch.stack(out, dim=1)


@sound
def pointers_into_the_input() -> Built:
    return Pointer(), torch.rand(16, 6, 2)


class Sinkhorn(nn.Module):
    """A soft permutation by normalising rows and columns in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.head = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 6)), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.score(x.unsqueeze(2)) / 0.5
        for _ in range(8):
            logits = logits - logits.logsumexp(2, keepdim=True)
            logits = logits - logits.logsumexp(1, keepdim=True)
        return self.head((logits.exp().transpose(1, 2) @ x.unsqueeze(2)).squeeze(2))


@sound
def soft_permutation() -> Built:
    return Sinkhorn(), torch.randn(32, 6)
