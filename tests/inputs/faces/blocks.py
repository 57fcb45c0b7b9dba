"""Parts of networks that stand alone: nothing in front of them shows what they are fed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Smoother(nn.Module):
    """An exponential average of the steps before, by hand."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.decay = nn.LayerNorm(width), nn.Parameter(torch.randn(width))

    def forward(self, x):
        device, seq_len = x.device, x.shape[1]
        back = torch.arange(seq_len, device=device)
        kernel = torch.sigmoid(self.decay) ** (back[:, None] - back).clamp(min=0)[..., None]
        return torch.einsum("tsd,bsd->btd", kernel * (back[:, None] >= back)[..., None], self.norm(x))


class GatedSmoother(nn.Module):
    """The steps are named in a part of it, one level down."""

    FED = ("f B T 16",)

    def __init__(self, width=16):
        super().__init__()
        self.norm, self.up, self.gate = nn.LayerNorm(width), nn.Linear(width, 32), nn.Linear(width, 32)
        self.smooth, self.down = Smoother(32), nn.Linear(32, width)

    def forward(self, x):
        h = self.norm(x)
        return x + self.down(self.smooth(F.gelu(self.up(h))) * F.gelu(self.gate(h)))


class StepsBySize(nn.Module):
    """Named by a call of size()."""

    FED = ("f B T 12",)

    def __init__(self):
        super().__init__()
        self.mix, self.out = nn.Linear(12, 24), nn.Linear(24, 12)

    def forward(self, frames):
        num_tokens = frames.size(1)
        h = torch.tanh(self.mix(frames))
        return self.out(h.cumsum(1) / torch.arange(1, num_tokens + 1)[:, None])


class Decays(nn.Module):
    """A retention-like block whose weights of the steps are counted from the end."""

    FED = ("f B T 20",)

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(20, 20) for _ in range(3))

    def forward(self, x):
        length = x.shape[1]
        apart = torch.arange(length)[:, None] - torch.arange(length)
        weights = torch.where(apart >= 0, 0.9 ** apart.clamp(min=0), 0.0)
        return (self.q(x) @ self.k(x).mT * 20**-0.5 * weights) @ self.v(x)


class DistanceBias(nn.Module):
    """What it is fed meets no layer: the layers take distances."""

    FED = ("f B 8 T T",)

    def __init__(self, heads=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, heads))

    def forward(self, scores):
        n = scores.shape[-1]
        places = torch.arange(n)
        by_distance = self.layers(torch.arange(1 - n, n, dtype=scores.dtype)[:, None])
        return scores + by_distance[places[:, None] - places + n - 1].permute(2, 0, 1)


class LogDistanceBias(nn.Module):
    """For one head, and logarithms."""

    FED = ("f B C T T|f B T T",)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(1, 12), nn.Linear(12, 1)

    def forward(self, dots):
        device, length = dots.device, dots.shape[-1]
        apart = (torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)).float()
        near = torch.sign(apart) * torch.log1p(apart.abs())
        return dots + self.b(F.silu(self.a(near[..., None])))[..., 0]


class Slopes(nn.Module):
    """Every head learns how fast it forgets."""

    FED = ("f B 4 T T",)

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(4, 1, 1) + 0.5)
        self.shift = nn.Linear(1, 4)

    def forward(self, sim):
        j = sim.size(-1)
        back = torch.arange(j).flip(0).to(sim)
        return sim - self.slope * back + self.shift(back[:, None]).mT[:, None]


class TwoOfAKind(nn.Module):
    """Two vectors of one kind; what they are as wide as shows only behind the layer that puts them together."""

    FED = ("f B 12", "f B 12")

    def __init__(self):
        super().__init__()
        self.score, self.value = nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 3, padding=1)
        self.head = nn.Linear(24, 3)

    def weighed(self, x):
        x = x[:, None]
        return (self.score(x).softmax(-1) * self.value(x)).squeeze(1)

    def forward(self, before, after):
        return self.head(torch.cat([self.weighed(before), self.weighed(after)], -1))


class ThreeOfAKind(nn.Module):
    FED = ("f B 6", "f B 6", "f B 6")

    def __init__(self):
        super().__init__()
        self.filter, self.head = nn.Conv1d(1, 1, 3, padding=1), nn.Sequential(nn.Linear(18, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, anchor, near, far):
        parts = [self.filter(one.unsqueeze(1)).flatten(1) for one in (anchor, near, far)]
        return self.head(torch.cat(parts, 1))


class ClipMemory(nn.Module):
    """A loop over frames, each of them of all samples: time comes first."""

    FED = ("f T B 3 H W",)

    def __init__(self):
        super().__init__()
        self.eye = nn.Sequential(nn.Conv2d(3, 8, 4, 2), nn.ReLU(), nn.Conv2d(8, 8, 4, 4), nn.ReLU(), nn.Flatten(1))
        self.see, self.cell, self.out = nn.Linear(72, 16), nn.GRUCell(16, 16), nn.Linear(16, 4)

    def forward(self, images):
        state = images.new_zeros(images.shape[1], 16)
        out = []
        for image in images:
            state = self.cell(self.see(self.eye(image)), state)
            out.append(self.out(state))
        return torch.stack(out)


class Called(nn.Module):
    """Another network comes as an argument."""

    FED = ("f B 16 H W",)

    def __init__(self):
        super().__init__()
        self.keys, self.values = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 1)

    def forward(self, backbone, image):
        seen = backbone(image)
        weights = self.keys(seen).flatten(2).softmax(-1)
        return (weights * self.values(seen).flatten(2)).sum(-1)


class CalledTwice(nn.Module):
    """An episode: one picture, and pictures of every class."""

    FED = ("f B 16 H W", "f B 5 2 16 H W")

    def __init__(self):
        super().__init__()
        self.key = nn.Conv2d(16, 8, 1)

    def forward(self, embed, query, support):
        batch, ways, shots = support.shape[:3]
        b, k, n, c, h, w = support.shape
        shown = self.key(embed(support.view(b * k * n, c, h, w))).mean((2, 3)).view(batch, ways, shots, -1).mean(2)
        return -(self.key(embed(query)).mean((2, 3))[:, None] - shown).square().sum(-1)


class CalledByName(nn.Module):
    """A function, handed on to a layer's result."""

    FED = ("f B 10",)

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(10, 12), nn.Linear(12, 4)

    def forward(self, x, transform):
        return self.b(torch.relu(transform(self.a(transform(x)))))


class Views(nn.Module):
    """Shapes stand in the annotations, one size of them in an attribute."""

    FED = ("f B V 3 H W", "f B V 6 H W", "f B 6 H W")

    def __init__(self):
        super().__init__()
        self.channels = 3
        self.look, self.ray, self.out = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(6, 8, 4, 4), nn.Conv2d(8, 3, 1)

    def forward(self, pictures: Float["b i {self.channels} h w"], rays: Float["b i 6 h w"], wanted: Float["b 6 h w"]):  # noqa: F722, F821
        seen = self.look(pictures.flatten(0, 1)) + self.ray(rays.flatten(0, 1))
        seen = torch.relu(seen).unflatten(0, pictures.shape[:2]).mean(1)
        return self.out(torch.relu(seen + self.ray(wanted)))


class TextBesideTokens(nn.Module):
    """A causal decoder over a text that looks at tokens of a picture, as wide as a text may be long."""

    FED = ("i B T", "f B N 32")

    def __init__(self, width=32):
        super().__init__()
        self.embed, self.head = nn.Embedding(50, width), nn.Linear(width, 50)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.look = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, text, image_tokens=None):
        x = self.embed(text)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (self.q(x) @ self.k(x).mT / x.shape[-1] ** 0.5).masked_fill(later, float("-inf"))
        x = x + scores.softmax(-1) @ self.v(x)
        return self.head(x + self.look(x, image_tokens, image_tokens)[0])


class Grid(nn.Module):
    """Any number of plain sizes: as many as the layer takes."""

    FED = ()

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 16), nn.Linear(16, 3)

    def forward(self, *sizes):
        places = torch.stack(torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")).flatten(1).T
        return self.b(torch.tanh(self.a((places[:, None] - places).float())))
