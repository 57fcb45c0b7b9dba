"""Sound models that look as if samples mixed: graphs, similarities, offsets, quantisation, carried states, time first."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class GraphConvolution(nn.Module):
    """Nodes of one graph, with its adjacency given."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return self.second(adjacency @ torch.relu(self.first(adjacency @ x)))


@sound
def graph_with_an_adjacency() -> Built:
    adjacency = (torch.rand(20, 20) < 0.3).float() + torch.eye(20)
    return GraphConvolution(), (torch.randn(20, 8), adjacency / adjacency.sum(1, keepdim=True))


class MessagePassing(nn.Module):
    """Edges as pairs of node indices."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(8, 16), nn.Linear(24, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        source, target = edges
        gathered = torch.zeros(len(x), 16).index_add(0, target, torch.relu(self.message(x[source])))
        return self.update(torch.cat([x, gathered], 1))


@sound
def graph_with_edges() -> Built:
    return MessagePassing(), (torch.randn(20, 8), torch.randint(20, (2, 60)))


class PointClouds(nn.Module):
    """Points of several clouds in one tensor, and which cloud each belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self.local, self.head = nn.Linear(3, 32), nn.Linear(64, 5)

    def forward(self, points: Tensor, cloud: Tensor) -> Tensor:
        h = torch.relu(self.local(points))
        pooled = torch.zeros(int(cloud.max()) + 1, 32).index_add(0, cloud, h) / 10
        return self.head(torch.cat([h, pooled[cloud]], 1))


@sound
def points_of_several_clouds() -> Built:
    return PointClouds(), (torch.randn(40, 3), torch.arange(40) // 10)


class Contrastive(nn.Module):
    """CLIP: the similarity of every image to every text, and the embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(16, 8), nn.Linear(12, 8)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, image: Tensor, text: Tensor) -> dict[str, Tensor]:
        a, b = F.normalize(self.image(image), dim=-1), F.normalize(self.text(text), dim=-1)
        return {"logits": self.scale.exp() * a @ b.T, "image": a, "text": b}


@sound
def similarities_of_a_batch() -> Built:
    return Contrastive(), (torch.randn(16, 16), torch.randn(16, 12))


class FakeQuantised(nn.Module):
    """8 bits, scaled by the largest entry of the batch: another batch rounds otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(2))
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            scale = x.abs().max().detach() / 127
            x = torch.relu(layer(x + ((x / scale).round() * scale - x).detach()))
        return self.head(x)


@sound
def dynamic_fake_quantisation() -> Built:
    return FakeQuantised(), torch.randn(32, 32)


class Switch(nn.Module):
    """Top-1 routing with a capacity: who comes too late passes by the expert."""

    def __init__(self, width: int = 16, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts)
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(experts))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        probability, choice = self.router(x).softmax(-1).max(-1)
        capacity = max(1, int(1.25 * len(x) / len(self.experts)))
        out = x
        for i, expert in enumerate(self.experts):
            taken = (choice == i).nonzero().flatten()[:capacity]
            out = out.index_add(0, taken, probability[taken, None] * expert(x[taken]))
        return self.head(out)


@sound
def experts_with_a_capacity() -> Built:
    return Switch(), torch.randn(64, 16)


class TimeFirst(nn.Module):
    """(time, batch, features), as torch's layers are made: the batch is axis 1."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0)
        self.rnn, self.head = nn.LSTM(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.encoder(x))[0])


@sound
def batch_along_axis_one() -> Built:
    return TimeFirst(), torch.randn(11, 16, 16)


class TransientBatchNorm(nn.Module):
    """Without running statistics on purpose, as some GANs are."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32, track_running_stats=False), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, z: Tensor) -> Tensor:
        return self.up(z)


@sound
def batch_norm_without_running_statistics() -> Built:
    return TransientBatchNorm(), torch.randn(32, 16)


class Membrane(nn.Module):
    """A state that is carried from call to call, a row a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 2)
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        before = torch.zeros(len(x), 16) if self.state is None or len(self.state) != len(x) else self.state
        now = torch.tanh(self.enter(x) + 0.5 * before)
        self.state = now.detach()
        return self.leave(now)


@sound
def state_that_is_carried() -> Built:
    return Membrane(), torch.randn(16, 8)


class Siamese(nn.Module):
    """Both halves of a batch are views of the same samples."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))

    def forward(self, pairs: Tensor) -> Tensor:
        left, right = self.body(pairs).chunk(2)
        return (left - right).square().sum(1)


@sound
def halves_of_a_batch() -> Built:
    return Siamese(), torch.randn(32, 8)


class SelfAttention(nn.Module):
    """Written by hand, and it runs on rows that are steps as well as on rows that are samples."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(32, 32) for _ in range(3))
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.query(x) @ self.key(x).transpose(-1, -2) / 32**0.5).softmax(-1)
        return self.head(weights @ self.value(x))


@sound
def attention_written_by_hand() -> Built:
    return SelfAttention(), torch.randn(16, 11, 32)
