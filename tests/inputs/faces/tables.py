"""Indices: tables of classes, categories beside numbers, bags with offsets, ids of a published list."""

from __future__ import annotations

from functools import reduce
from operator import mul

import torch
from torch import nn


class ShiftOfClass(nn.Module):
    """A table that is no embedding: a row for every class."""

    FED = ("f B 6", "i B <5")

    def __init__(self):
        super().__init__()
        self.net, self.shift = nn.Linear(6, 4), nn.Parameter(torch.randn(5, 4))

    def forward(self, x, z):
        return self.net(x) + self.shift[z]


class ScaleOfClass(nn.Module):
    """The same before the first layer."""

    FED = ("f B 4", "i B <7")

    def __init__(self):
        super().__init__()
        self.scale, self.out = nn.Parameter(torch.ones(7, 4)), nn.Linear(4, 3)

    def forward(self, x, which):
        return self.out(x * self.scale[which])


class AtomEnergies(nn.Module):
    """Numbers of atoms: each has an energy of its own."""

    FED = ("i B N <10", "f B N 3")

    def __init__(self):
        super().__init__()
        self.energy = nn.Parameter(torch.randn(10))
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, species, coordinates):
        return (self.energy[species] + self.net(coordinates).squeeze(-1)).sum(1)


class HeadOfTask(nn.Module):
    """One matrix for each task."""

    FED = ("f B 6", "i B <3")

    def __init__(self):
        super().__init__()
        self.heads = nn.Parameter(torch.randn(3, 6, 2) * 0.3)

    def forward(self, x, task):
        return torch.einsum("bi,bio->bo", x, self.heads[task])


class BetasOfSteps(nn.Module):
    """A schedule that is indexed by the step."""

    FED = ("f B 8", "i B <50")

    def __init__(self):
        super().__init__()
        self.register_buffer("alphas", torch.linspace(0.99, 0.1, 50))
        self.net = nn.Linear(9, 8)

    def forward(self, x, t):
        a = self.alphas[t][:, None]
        noise = torch.ones_like(x)
        return self.net(torch.cat([a.sqrt() * x + (1 - a).sqrt() * noise, a], 1))


class ManyTables(nn.Module):
    """Numbers and categories: one table with an offset for each column."""

    FED = ("i B 3", "f B 4")

    def __init__(self, categories=(5, 6, 7), numbers=4, d=8):
        super().__init__()
        self.table = nn.Embedding(sum(categories), d)
        self.register_buffer("offsets", torch.tensor([0, 5, 11]))
        self.weight, self.bias = nn.Parameter(torch.randn(numbers, d)), nn.Parameter(torch.randn(numbers, d))
        self.out = nn.Linear(d, 1)

    def forward(self, x_categ, x_numer):
        assert x_categ.shape[-1] == 3, "three categories"
        columns = [self.table(x_categ + self.offsets), x_numer[..., None] * self.weight + self.bias]
        return self.out(torch.cat(columns, 1).mean(1))


class ColumnByColumn(nn.Module):
    """A table for every column, taken one after the other."""

    FED = ("f B 4", "i B 3")

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, 4) for rows in (9, 5, 7))
        self.net = nn.Linear(4 + 3 * 4, 2)

    def forward(self, x_num, x_cat):
        embedded = [table(x_cat[:, i]) for i, table in enumerate(self.tables)]
        return self.net(torch.cat([x_num, *embedded], 1))


class Clicks(nn.Module):
    """Bags of ids with offsets: one list of each."""

    FED = ("f B 5", "i 2 B", "i 2 n")

    def __init__(self):
        super().__init__()
        self.bottom = nn.Linear(5, 4)
        self.bags = nn.ModuleList(nn.EmbeddingBag(rows, 4, mode="sum") for rows in (30, 20))
        self.top = nn.Linear(12, 1)

    def forward(self, dense_x, lS_o, lS_i):
        x = self.bottom(dense_x).relu()
        ly = [bag(lS_i[k], lS_o[k]) for k, bag in enumerate(self.bags)]
        return self.top(torch.cat([x, *ly], 1)).sigmoid()


class BagsOfLists(nn.Module):
    """A list of ids, one tensor for each field."""

    FED = ("i B T", "i B T")

    def __init__(self):
        super().__init__()
        self.fields = nn.ModuleList(nn.EmbeddingBag(rows, 4) for rows in (30, 20))
        self.top = nn.Linear(8, 1)

    def forward(self, fields):
        return self.top(torch.cat([bag(ids) for bag, ids in zip(self.fields, fields, strict=True)], 1))


class PublishedIds(nn.Module):
    """Kinds that stand in a list: a number that does not is refused."""

    FED = ("i B N", "f B N 3")

    KNOWN = (1, 6, 7, 8)

    def __init__(self):
        super().__init__()
        self.row = {number: row for row, number in enumerate(self.KNOWN)}
        self.table, self.out = nn.Embedding(4, 8), nn.Linear(11, 1)

    def forward(self, numbers, positions):
        rows = torch.tensor([[self.row[int(n)] for n in line] for line in numbers])
        return self.out(torch.cat([self.table(rows), positions], -1)).sum(1)


class CheckedIds(nn.Module):
    """Ids that have to be among those that the model knows."""

    FED = ("i B T",)

    def __init__(self):
        super().__init__()
        self.register_buffer("allowed", torch.tensor([3, 5, 9, 12]))
        self.table = nn.Embedding(20, 8)

    def forward(self, tokens):
        if not torch.isin(tokens, self.allowed).all():
            raise ValueError("unknown token")
        return self.table(tokens).mean(1)


class Inverted(nn.Module):
    """Where the given matrix says no, nobody looks."""

    FED = ("f N 8", "m N N")

    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(8, 1), nn.Linear(8, 1), nn.Linear(8, 8)

    def forward(self, nodes, linked):
        scores = (self.one(nodes) + self.two(nodes).T).tanh().masked_fill(~linked, -1e4)
        return scores.softmax(1) @ self.out(nodes)


class Walkers(nn.Module):
    """Columns of a table by their numbers: where each one is, how fast it goes and where to."""

    FED = ("f B 8",)

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.Softplus(), nn.Linear(8, 2))

    def forward(self, state):
        way = state[:, 6:8] - state[:, 0:2]
        way = way / way.norm(dim=1, keepdim=True)
        speed = state[:, 2:4].norm(dim=1, keepdim=True)
        return self.net(torch.cat([way, speed, state[:, 4:6]], 1))


class Prompts(nn.Module):
    """Points, or boxes, or neither: what the annotation allows to be None."""

    FED = ("f B 6",)

    def __init__(self):
        super().__init__()
        self.points, self.scale = nn.Linear(6, 8), nn.Parameter(torch.ones(8))

    def forward(self, points: torch.Tensor, boxes: torch.Tensor | None):
        h = self.points(points) * self.scale
        if boxes is not None:
            raise NotImplementedError
        return h


class TableOfTwoAxes(nn.Module):
    """Places in rows and columns; while it trains, a text has to fill them all."""

    FED = ("i B 24",)

    def __init__(self):
        super().__init__()
        self.shape = (4, 6)
        self.tokens = nn.Embedding(30, 8)
        self.rows, self.columns = nn.Parameter(torch.randn(4, 1, 8)), nn.Parameter(torch.randn(1, 6, 8))

    def places(self, ids):
        length = ids.shape[1]
        if self.training and reduce(mul, self.shape) != length:
            raise ValueError("fill the table")
        return (self.rows + self.columns).flatten(0, 1)[:length]

    def forward(self, ids):
        return self.tokens(ids) + self.places(ids)


class SidesOfEach(nn.Module):
    """How high and how wide each sample once was, read as plain numbers, row by row."""

    FED = ("f B 6", "f B 2 | i B 2")

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x, sides):
        areas = [1 + abs(high * wide) for high, wide in sides.tolist()]
        return self.fc(x) / torch.tensor(areas).unsqueeze(1)


class CornersOfEach(nn.Module):
    """The same of rows that are tensors."""

    FED = ("f B 6", "f B 4 | i B 4")

    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(6, 4), nn.Linear(1, 4)

    def forward(self, x, corners):
        areas = []
        for left, top, right, bottom in corners:
            areas.append((right - left) * (bottom - top))
        return self.fc(x) + self.out(torch.stack(areas).unsqueeze(1).float())
