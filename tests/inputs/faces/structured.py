"""Arguments that belong together: pictures and grids, graphs as objects, features with coordinates, long series."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Warped(nn.Module):
    """A picture and where to read it."""

    FED = ("f B 3 H W", "f B h w 2")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, image, grid):
        return F.grid_sample(self.conv(image), grid, align_corners=True)


class WarpedByFlow(nn.Module):
    """The grid is made of a flow of two channels."""

    FED = ("f B 3 H W", "f B 2 H W")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x, flow):
        b, _, h, w = x.shape
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        grid = torch.stack([xs, ys], -1).expand(b, h, w, 2) + flow.permute(0, 2, 3, 1)
        return self.conv(F.grid_sample(x, grid, align_corners=True))


class WarpedVolume(nn.Module):
    """A volume is read at points."""

    FED = ("f B 2 D H W", "f B a b c 3")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(2, 4, 3, padding=1)

    def forward(self, volume, points):
        return F.grid_sample(self.conv(volume), points, align_corners=False)


class AffineWarp(nn.Module):
    """A matrix of two by three moves the picture."""

    FED = ("f B 1 H W", "f B 2 3")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x, theta):
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return self.conv(F.grid_sample(x, grid, align_corners=False))


class GraphObject(nn.Module):
    """A batch of graphs as one object."""

    FED = ("f N 5", "i 2 E", "i N")

    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, data):
        x, edge_index, batch = data.x, data.edge_index, data.batch
        for layer in (self.a, self.b):
            h = layer(x).relu()
            x = torch.zeros_like(h).index_add(0, edge_index[1], h[edge_index[0]]) + h
        graphs = int(batch.max()) + 1
        pooled = torch.zeros(graphs, x.shape[1]).index_add(0, batch, x)
        return self.out(pooled)


class GraphWithEdgeFeatures(nn.Module):
    """Edges have features of their own."""

    FED = ("f N 6", "i 2 E", "f E 3")

    def __init__(self):
        super().__init__()
        self.node, self.edge, self.out = nn.Linear(6, 8), nn.Linear(3, 8), nn.Linear(8, 1)

    def forward(self, graph):
        h = self.node(graph.x)
        m = h[graph.edge_index[0]] + self.edge(graph.edge_attr)
        h = h + torch.zeros_like(h).index_add(0, graph.edge_index[1], m.relu())
        return self.out(h)


class GraphDict(nn.Module):
    """The same as a dict."""

    FED = ("f N 4", "i 2 E")

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, batch):
        h = self.a(batch["x"])
        src, dst = batch["edge_index"]
        return h + torch.zeros_like(h).index_add(0, dst, h[src])


class Equivariant(nn.Module):
    """Features and coordinates of the same nodes: all pairs exchange messages."""

    FED = ("f B N 8", "f B N 3")

    def __init__(self, d=8):
        super().__init__()
        self.message, self.update = nn.Sequential(nn.Linear(2 * d + 1, 16), nn.SiLU()), nn.Linear(d + 16, d)
        self.move = nn.Linear(16, 1)

    def forward(self, feats, coors):
        b, n, d = feats.shape
        difference = coors[:, :, None] - coors[:, None]
        distance = (difference**2).sum(-1, keepdim=True)
        left, right = feats[:, :, None].expand(b, n, n, d), feats[:, None].expand(b, n, n, d)
        m = self.message(torch.cat([left, right, distance], -1))
        moved = coors + (difference * self.move(m)).mean(2)
        return self.update(torch.cat([feats, m.sum(2)], -1)), moved


class Interpolated(nn.Module):
    """Features at some points are carried to others by the distances."""

    FED = ("f B N 3", "f B M 3", "f B M 10")

    def __init__(self):
        super().__init__()
        self.mlp = nn.Linear(10, 6)

    def forward(self, xyz1, xyz2, points2):
        near, index = torch.cdist(xyz1, xyz2).topk(3, dim=-1, largest=False)
        w = 1 / (near + 1e-6)
        w = w / w.sum(-1, keepdim=True)
        gathered = torch.gather(points2[:, None].expand(-1, xyz1.shape[1], -1, -1), 2, index[..., None].expand(-1, -1, -1, 10))
        return self.mlp((gathered * w[..., None]).sum(2))


class Informer(nn.Module):
    """Values and marks of the past and of what is to be foretold."""

    FED = ("f B T 7", "f B T 4", "f B S 7", "f B S 4")

    def __init__(self, values=7, marks=4, d=16):
        super().__init__()
        self.value, self.mark = nn.Linear(values, d), nn.Linear(marks, d)
        self.encoder = nn.TransformerEncoderLayer(d, 2, 32, batch_first=True)
        self.decoder = nn.TransformerDecoderLayer(d, 2, 32, batch_first=True)
        self.out = nn.Linear(d, values)

    def forward(self, x_enc, x_mark_enc, x_dec, x_mark_dec):
        memory = self.encoder(self.value(x_enc) + self.mark(x_mark_enc))
        return self.out(self.decoder(self.value(x_dec) + self.mark(x_mark_dec), memory))


class Forecast(nn.Module):
    """A past of 36 steps, of which something is known beforehand for the twelve to come."""

    FED = ("f B 36 5 | f B 180", "f B 12 3 | f B 36", "f B 2")

    def __init__(self):
        super().__init__()
        self.past, self.future, self.static = nn.Linear(36 * 5, 16), nn.Linear(12 * 3, 16), nn.Linear(2, 16)
        self.out = nn.Linear(16, 12)

    def forward(self, past_values, future_covariates, static_features):
        h = self.past(past_values.reshape(past_values.shape[0], -1))
        h = h + self.future(future_covariates.reshape(h.shape[0], -1)) + self.static(static_features)
        return self.out(h.relu())


class Mixed(nn.Module):
    """A search over architectures: weights of the operations of every edge."""

    FED = ("f B 4 H W", "f 3 4")

    def __init__(self, c=4, n=3):
        super().__init__()
        self.ops = nn.ModuleList(nn.ModuleList(nn.Conv2d(c, c, k, padding=k // 2) for k in (1, 3, 5, 7)) for _ in range(n))

    def forward(self, x, weights):
        for w, ops in zip(weights, self.ops, strict=False):
            x = sum(a * op(x) for a, op in zip(w, ops, strict=False))
        return x


class Experts(nn.Module):
    """A share of every expert, the same for the whole batch."""

    FED = ("f B 6", "f 3")

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, x, alpha):
        return sum(a * expert(x).tanh() for a, expert in zip(alpha, self.experts, strict=True))


class Displaced(nn.Module):
    """A field of displacements that moves a grid of its own making: one pixel alone would be broadcast, and run."""

    FED = ("f B 3 H W", "f B 2 H W")

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 2)

    def forward(self, image, field):
        h, w = image.shape[-2:]
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        grid = torch.stack([xs, ys], -1) + field.permute(0, 2, 3, 1)
        return self.head(F.grid_sample(self.conv(image), grid, align_corners=True).mean((2, 3)))


class Boxed(nn.Module):
    """Words and where they stand on a page; the annotation, and it alone, says that the places are a dict."""

    FED = ("i B <50|i B T <50", "f B 4|f B T 4")

    def __init__(self):
        super().__init__()
        self.words, self.place, self.out = nn.Embedding(50, 16), nn.Linear(4, 16), nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor, box: dict[str, Any] | None = None):
        if box is None:
            raise ValueError("box is required")
        return self.out(torch.tanh(self.words(ids) + self.place(torch.clip(box, 0.0, 1.0))))


class ScaledByWrongWord(nn.Module):
    """A tensor under the annotation of a dict is multiplied."""

    FED = ("f B 8", "f B n|f B 8")

    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x, scale: dict):
        return self.out(torch.relu(self.first(x)) * scale)


class ShapedByWrongWord(nn.Module):
    """A tensor under the annotation of a dict is asked for its shape."""

    FED = ("f B 8",)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: dict[str, torch.Tensor]):
        return self.layer(x).reshape(x.shape[0], -1)


class SlicedByWrongWord(nn.Module):
    """A tensor under the annotation of a dict is sliced."""

    FED = ("f B 8", "f B n")

    def __init__(self):
        super().__init__()
        self.layer, self.place = nn.Linear(8, 8), nn.Linear(4, 8)

    def forward(self, x, where: dict | None = None):
        if where is None:
            raise ValueError("where is needed")
        return self.layer(x) + self.place(where[..., :4])


class TwoSensors(nn.Module):
    """A dict that is one."""

    FED = ("f B 8", "f B 3")

    def __init__(self):
        super().__init__()
        self.wheel, self.arm = nn.Linear(8, 8), nn.Linear(3, 8)

    def forward(self, x: dict):
        return self.wheel(x["wheel"]) + self.arm(x["arm"])


class OptionsAside(nn.Module):
    """A dict that is one, and may stay empty."""

    FED = ("f B 8",)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x, options: dict):
        return self.layer(x) * options.get("scale", 1.0)
