"""Sizes behind a concatenation: several arguments, copies of one, maps that are made inside."""

from __future__ import annotations

import torch
from torch import nn


class PictureAndMask(nn.Module):
    """Filling in holes: four channels in all, and the mask is multiplied with all three colours."""

    FED = ("f B 3 H W", "f B 1 H W")

    def __init__(self):
        super().__init__()
        self.net, self.out = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, img, mask):
        y = self.out(self.net(torch.cat([img * (1 - mask), mask], 1)).relu())
        return mask * y + (1 - mask) * img


class PictureBesideMask(PictureAndMask):
    """The same without products."""

    def forward(self, img, mask):
        return self.out(self.net(torch.cat([img, mask], 1)).relu())


class NoisyPictureAndEdges(nn.Module):
    """A picture to draw, and one channel to draw after."""

    FED = ("f B 3 H W", "f B 1 H W", "f B")

    def __init__(self):
        super().__init__()
        self.enter, self.time, self.leave = nn.Conv2d(3 + 1, 8, 3, padding=1), nn.Linear(1, 8), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x, cond, t):
        return x + self.leave((self.enter(torch.cat((x, cond), dim=1)) + self.time(t[:, None])[:, :, None, None]).relu())


class Distances(nn.Module):
    """Two distances, their difference and their ratios."""

    FED = ("f B 1 H W", "f B 1 H W")

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(5, 8, 1)

    def forward(self, d0, d1, eps=0.1):
        return self.net(torch.cat((d0, d1, d0 - d1, d0 / (d1 + eps), d1 / (d0 + eps)), 1))


class BesideItsSquare(nn.Module):
    FED = ("f B 10",)

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(20, 8)

    def forward(self, x):
        return self.net(torch.cat((x, x**2), -1))


class ThreeTimes(nn.Module):
    """A signal, its size and its sign."""

    FED = ("f B 4 L",)

    def __init__(self):
        super().__init__()
        self.net = nn.Conv1d(12, 8, 3)

    def forward(self, x):
        return self.net(torch.cat([x, x.abs(), x.sign()], 1))


class WithNormOfFeatures(nn.Module):
    """Features beside their own mean and spread."""

    FED = ("f B 9",)

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(11, 8)

    def forward(self, x):
        return self.net(torch.cat([x, x.mean(1, keepdim=True), x.std(1, keepdim=True)], 1))


class Recurrent(nn.Module):
    """Pictures one after the other; the state is made inside."""

    FED = ("f B T 3 H W",)

    def __init__(self, c=3, h=8):
        super().__init__()
        self.h, self.conv = h, nn.Conv2d(c + h, 4 * h, 3, padding=1)

    def forward(self, x):
        b, t, c, hh, w = x.shape
        s = x.new_zeros(b, self.h, hh, w)
        m = s
        for k in range(t):
            i, f, o, g = self.conv(torch.cat((x[:, k], s), 1)).chunk(4, 1)
            m = f.sigmoid() * m + i.sigmoid() * g.tanh()
            s = o.sigmoid() * m.tanh()
        return s


class RecurrentFeatures(nn.Module):
    FED = ("f B T 3",)

    def __init__(self, c=3, h=8):
        super().__init__()
        self.h, self.l = h, nn.Linear(c + h, h)

    def forward(self, x):
        s = x.new_zeros(x.size(0), self.h)
        for k in range(x.size(1)):
            s = self.l(torch.cat((x[:, k], s), 1)).tanh()
        return s


class RecurrentTimeFirst(nn.Module):
    """The same with the time first, and torch.zeros."""

    FED = ("f T B 4",)

    def __init__(self):
        super().__init__()
        self.i2h, self.out = nn.Linear(4 + 6, 6), nn.Linear(6, 2)

    def forward(self, sequence):
        steps, batch, _ = sequence.size()
        hidden = torch.zeros(batch, 6, device=sequence.device)
        for step in range(steps):
            hidden = torch.tanh(self.i2h(torch.cat([sequence[step], hidden], dim=1)))
        return self.out(hidden)


class Coordinates(nn.Module):
    """Two maps of coordinates are added inside."""

    FED = ("f B 3 H W",)

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3 + 2, 8, 3, padding=1)

    def forward(self, x):
        b, _, h, w = x.shape
        grid = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        return self.c(torch.cat((x, torch.stack(grid).expand(b, -1, -1, -1)), 1))


class CoordinatesOfPoints(nn.Module):
    """A code that is repeated to every point of a list, and the point."""

    FED = ("f B P 3", "f B 12")

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3 + 12, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, points, code):
        wide = code[:, None].expand(-1, points.shape[1], -1)
        return self.net(torch.cat([points, wide], -1))


class ClassInTheInput(nn.Module):
    """A picture, and a class as a map of its own."""

    FED = ("f B 1 H W", "i B <10")

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.net = nn.Sequential(nn.Conv2d(1 + 4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))

    def forward(self, x, label):
        b, _, h, w = x.shape
        where = self.table(label).view(b, 4, 1, 1).expand(b, 4, h, w)
        return self.net(torch.cat((x, where), 1))


class StateAndAction(nn.Module):
    """Nothing says how ten and six are split."""

    FED = ("f B a", "f B b")

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10 + 6, 3)

    def forward(self, state, action):
        return self.fc(torch.cat((state, action), -1))


class Skip(nn.Module):
    """What is skipped has the size of what comes out of the convolution."""

    FED = ("f B 3 H W", "f B 8 h w")

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, x, skip):
        return (self.down(x) + skip).relu()


class SkipUp(nn.Module):
    """A step of a decoder: the deep features are grown to the size of those beside them."""

    FED = ("f B 16 h w", "f B 8 H W")

    def __init__(self):
        super().__init__()
        self.up, self.mix = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)

    def forward(self, x, skip):
        return self.mix(torch.cat([self.up(x), skip], 1)).relu()


class Added(nn.Module):
    """The second operand is what the first layer makes of the first."""

    FED = ("f B 6", "f B 4")

    def __init__(self):
        super().__init__()
        self.l = nn.Linear(6, 4)

    def forward(self, x, y):
        return self.l(x) + y


class Gated(nn.Module):
    """A weight for every channel."""

    FED = ("f B 3 H W", "f B 8")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x, scale):
        return self.conv(x) * scale[:, :, None, None]
