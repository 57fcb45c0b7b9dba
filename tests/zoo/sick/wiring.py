"""Sick models whose parts are there and not wired as they were meant to be."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


class QueryTwice(nn.Module):
    """The query's projection makes the keys, too."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out_proj = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q_proj(x), self.q_proj(x), self.v_proj(x)
        return self.out_proj(F.softmax(q @ k.transpose(1, 2) / 4, dim=-1) @ v)


@sick("missing-gradient", "k_proj")
def keys_by_the_projection_of_queries() -> Built:
    return QueryTwice(), torch.randn(8, 6, 16)


class LastBlockSkipped(nn.Module):
    """range(n - 1) where range(n) was meant."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(24, 24), nn.GELU()) for _ in range(4))
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(len(self.blocks) - 1):
            x = x + self.blocks[i](x)
        return self.head(x)


@sick("missing-gradient", "blocks.3")
def last_block_skipped() -> Built:
    return LastBlockSkipped(), torch.randn(32, 24)


class PositionsForgotten(nn.Module):
    """The table of positions is made and never added."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(50, 24), nn.Parameter(torch.randn(1, 12, 24) * 0.02)
        self.encoder = nn.TransformerEncoderLayer(24, 4, 48, dropout=0.0, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.encoder(self.tokens(ids)).mean(1))


@sick("missing-gradient", "positions")
def positions_forgotten() -> Built:
    return PositionsForgotten(), torch.randint(0, 50, (16, 12))


class AttentionThrownAway(nn.Module):
    """What attention gives is kept under a name that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(24, 4, batch_first=True)
        self.norm, self.mlp = nn.LayerNorm(24), nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 24))

    def forward(self, x: Tensor) -> Tensor:
        attended, _ = self.attention(x, x, x, need_weights=False)
        y = self.norm(x + x)
        return y + self.mlp(y)


@sick("missing-gradient", "attention")
def attention_thrown_away() -> Built:
    return AttentionThrownAway(), torch.randn(8, 6, 24)


class BottleneckOverwritten(nn.Module):
    """The way up of a U-Net starts from the way down and forgets what lies below."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.bottleneck = nn.Conv2d(16, 16, 3, padding=1)
        self.up, self.out = nn.Conv2d(24, 8, 3, padding=1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.down1(x))
        b = torch.relu(self.down2(F.max_pool2d(a, 2)))
        c = torch.relu(self.bottleneck(b))
        c = b
        return self.out(torch.relu(self.up(torch.cat([a, F.interpolate(c, scale_factor=2)], 1))))


@sick("missing-gradient", "bottleneck")
def bottleneck_overwritten() -> Built:
    return BottleneckOverwritten(), torch.randn(8, 1, 16, 16)


class SecondRecurrenceIgnored(nn.Module):
    """The head reads the first recurrence, the second one runs for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRU(8, 16, batch_first=True), nn.GRU(16, 16, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.first(x)
        _, state = self.second(out)
        return self.head(out[:, -1])


@sick("missing-gradient", "second")
def second_recurrence_ignored() -> Built:
    return SecondRecurrenceIgnored(), torch.randn(16, 10, 8)


class ScaleAsShift(nn.Module):
    """A home-made norm that adds its scale."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(12, 24), nn.Linear(24, 3)
        self.scale, self.shift = nn.Parameter(torch.ones(24)), nn.Parameter(torch.zeros(24))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        h = (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-5)
        return self.leave(torch.relu(h * self.scale + self.scale))


@sick("missing-gradient", "shift")
def scale_added_where_the_shift_was_meant() -> Built:
    return ScaleAsShift(), torch.randn(32, 12)


class Tagger(nn.Module):
    """A class attribute: one layer for all instances, and none of theirs."""

    project = nn.Linear(16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(torch.relu(self.project(self.enter(x))))


@sick("unregistered-parameter", "project", "")
def layer_is_a_class_attribute() -> Built:
    return Tagger(), torch.randn(32, 8)


class Closure(nn.Module):
    """The activation is a function that holds weights."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 4)
        slope = torch.full((16,), 0.25, requires_grad=True)
        self.activation = lambda x: torch.where(x > 0, x, slope * x)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.activation(self.enter(x)))


@sick("unregistered-parameter", "activation", "")
def weights_in_a_closure() -> Built:
    return Closure(), torch.randn(32, 8)


class DefaultArgument(nn.Module):
    """A layer as the default of an argument of forward."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor, mix: nn.Module = nn.Linear(16, 16)) -> Tensor:  # noqa: B008
        return self.leave(torch.relu(mix(self.enter(x))))


@sick("unregistered-parameter", "mix", "")
def layer_is_a_default_argument() -> Built:
    return DefaultArgument(), torch.randn(32, 8)


class Cast(nn.Module):
    """Pixels put back into bytes between two networks."""

    def __init__(self) -> None:
        super().__init__()
        self.restore = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1), nn.Sigmoid())
        self.classify = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))

    def forward(self, x: Tensor) -> Tensor:
        image = (self.restore(x) * 255).byte()
        return self.classify(image.float() / 255)


@sick("cut-gradient", "restore", "")
def bytes_between_two_networks() -> Built:
    model = Cast()
    model(torch.rand(2, 1, 10, 10))
    return model, torch.rand(16, 1, 10, 10)


class Encoded(nn.Module):
    """A method that somebody decorated for inference."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 12))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encode(x))


@sick("cut-gradient", "encoder", "")
def method_decorated_with_no_grad() -> Built:
    return Encoded(), torch.randn(32, 12)
