"""Sound models in which a learnt factor near zero holds a branch back at first, and texts that are put together in patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class ScaleAndShift(nn.Module):
    """Several views of one projection: each times a vector that starts near zero, plus one that starts at zero."""

    def __init__(self, width: int, views: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.randn(views, width) * 0.02), nn.Parameter(torch.zeros(views, width))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.unbind(torch.einsum("...d,vd->...vd", x, self.scale) + self.shift, -2)


class GatedUnit(nn.Module):
    """Gated attention: squared ReLU scores of queries and keys that share a projection, and a gate on the values."""

    def __init__(self, width: int = 32, inner: int = 64) -> None:
        super().__init__()
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(inner, width)
        self.both = nn.Sequential(nn.Linear(width, 2 * inner), nn.SiLU())
        self.shared = nn.Sequential(nn.Linear(width, 2 * inner), nn.SiLU())
        self.views = ScaleAndShift(2 * inner, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        value, gate = self.both(h).chunk(2, -1)
        query, key = self.views(self.shared(h))
        weights = F.relu(query @ key.mT / x.shape[1]).square()
        out: Tensor = x + self.out(gate * (weights @ value))
        return out


@sound
def gated_attention_unit_alone() -> Built:
    return GatedUnit(), torch.randn(32, 12, 32)


class Quadratic(nn.Module):
    """Scores of a small group of steps beside linear attention over all of them, from four views of one projection."""

    def __init__(self, width: int = 32, inner: int = 64) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(60, width), nn.LayerNorm(width), nn.Linear(inner, 60)
        self.to_values = nn.Sequential(nn.Linear(width, 2 * inner), nn.SiLU())
        self.to_scores = nn.Sequential(nn.Linear(width, 2 * inner), nn.SiLU())
        self.views = ScaleAndShift(2 * inner, 4)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.norm(self.embed(ids))
        value, gate = self.to_values(h).chunk(2, -1)
        near_q, far_q, near_k, far_k = self.views(self.to_scores(h))
        near = F.relu(near_q @ near_k.mT / ids.shape[1]).square() @ value
        far = far_q @ (far_k.mT @ value) / ids.shape[1]
        out: Tensor = self.head(gate * (near + far))
        return out


@sound
def quadratic_and_linear_attention_of_one_projection() -> Built:
    return Quadratic(), torch.randint(60, (32, 16))


class OneHead(nn.Module):
    """Attention of a single head by itself: no norm, no residual, so that the scores are the deepest way."""

    def __init__(self, width: int = 32, inner: int = 48) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(width, inner), nn.SiLU())
        self.value = nn.Sequential(nn.Linear(width, 40), nn.SiLU())
        self.views = ScaleAndShift(inner, 2)

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.views(self.shared(x))
        out: Tensor = (query @ key.mT * x.shape[-1] ** -0.5).softmax(-1) @ self.value(x)
        return out


@sound
def attention_of_two_views_of_one_projection() -> Built:
    return OneHead(), torch.randn(32, 24, 32)


class Patches(nn.Module):
    """Bytes in patches: a coarse model sees the patches before, a fine one the bytes of its own."""

    def __init__(self, patch: int = 16, width: int = 24) -> None:
        super().__init__()
        self.patch = patch
        self.fine, self.coarse = nn.Embedding(40, width), nn.Embedding(40, width)
        self.join, self.start = nn.Linear(patch * width, width), nn.Parameter(torch.randn(width))
        self.over, self.within = nn.GRU(width, width, batch_first=True), nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, 40)

    def forward(self, ids: Tensor) -> Tensor:
        batch, steps = ids.shape
        ids = F.pad(ids, (0, -steps % self.patch)).unflatten(1, (-1, self.patch))
        patches = self.join(self.coarse(ids).flatten(2))
        before = torch.cat([self.start.expand(batch, 1, -1), patches[:, :-1]], 1)  # of the first nothing is known
        context = self.over(before)[0].flatten(0, 1)
        fine = F.pad(self.fine(ids.flatten(0, 1))[:, :-1], (0, 0, 1, 0)) + context[:, None]
        return self.head(self.within(fine)[0]).unflatten(0, (batch, -1)).flatten(1, 2)[:, :steps]


@sound
def text_in_patches() -> Built:
    return Patches(), torch.randint(40, (16, 50))


class Delayed(nn.Module):
    """What the first block of a series holds only tells of the next one."""

    def __init__(self, block: int = 30, width: int = 20) -> None:
        super().__init__()
        self.block, self.now, self.then = block, nn.Linear(6, width), nn.Linear(6, width)
        self.out = nn.Linear(width, 6)

    def forward(self, series: Tensor) -> Tensor:
        length = series.shape[1]
        blocks = F.pad(series, (0, 0, 0, -length % self.block)).unflatten(1, (-1, self.block))
        memory = self.then(blocks.mean(2)).cumsum(1)
        memory = F.pad(memory[:, :-1], (0, 0, 1, 0))
        return self.out(torch.tanh(self.now(blocks) + memory[:, :, None])).flatten(1, 2)[:, :length]


@sound
def memory_of_the_block_before() -> Built:
    return Delayed(), torch.randn(16, 75, 6)


class Later(nn.Module):
    """The first rows of a picture lead to nothing unless there are more than a window of them."""

    def __init__(self) -> None:
        super().__init__()
        self.here, self.above = nn.Conv1d(3, 12, 1), nn.Conv1d(3, 12, 1)
        self.out = nn.Conv1d(12, 5, 1)

    def forward(self, signal: Tensor) -> Tensor:
        late = F.pad(self.above(signal), (128, 0))[..., : signal.shape[-1]]
        return self.out(torch.tanh(self.here(signal) + late))


@sound
def echo_of_long_ago() -> Built:
    return Later(), torch.randn(16, 3, 200)
