"""Sick models that make NaN or Inf."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


class Encoded(nn.Module):
    """An encoder, and then what a subclass does with its code."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 4)


class LogOfZero(Encoded):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.log(F.relu(self.encoder(x))))


@sick("nonfinite-gradient", "")
def log_of_zero() -> Built:
    return LogOfZero(), torch.randn(32, 12)


class Lengths(nn.Module):
    """The length of a vector as the root of a sum: at a padded, zero vector its derivative is 0 / 0."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(12, 16, bias=False)
        self.head = nn.Linear(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        return self.head(torch.sqrt(z.square().sum(-1, keepdim=True)))


@sick("nonfinite-gradient", "", data="a row of zeros")
def length_of_a_zero_vector() -> Built:
    x = torch.randn(32, 12)
    x[28:] = 0
    return Lengths(), x


class Standardise(nn.Module):
    """Division by a standard deviation without an epsilon."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / x.std(0)


@sick("nonfinite-gradient", "1")
def standard_deviation_of_a_constant_column() -> Built:
    first = nn.Linear(12, 32)
    nn.init.zeros_(first.weight.data[5])
    return nn.Sequential(first, Standardise(), nn.Linear(32, 4)), torch.randn(32, 12)


class Rates(Encoded):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.exp(400 * self.encoder(x)))


@sick("nonfinite-gradient", "")
def exp_overflow() -> Built:
    return Rates(), torch.randn(32, 12)


class MaskedAttention(nn.Module):
    """A query that may look at no key at all: softmax of -inf only."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        score = self.query(x) @ self.key(x).transpose(1, 2) / 4
        score = score.masked_fill(mask[:, None], float("-inf"))
        return F.softmax(score, dim=-1) @ self.value(x)


class MaskedNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.attention, self.leave = nn.Linear(8, 16), MaskedAttention(), nn.Linear(16, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.leave(self.attention(self.enter(x), mask))


@sick("nonfinite-gradient", "attention")
def fully_masked_row() -> Built:
    mask = torch.zeros(8, 6, dtype=torch.bool)
    mask[3] = True
    return MaskedNet(), (torch.randn(8, 6, 8), mask)


@sick("nonfinite-gradient", "2")
def nan_in_a_weight() -> Built:
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    model[2].weight.data[3, 4] = float("nan")
    return model, torch.randn(32, 12)


@sick("half-precision-overflow", "1", data="a standard deviation of 1000")
def half_precision_overflow() -> Built:
    """Squares beyond 65504."""
    model = nn.Sequential(nn.Linear(16, 32), Square(), nn.Linear(32, 4)).half()
    return model, 1000 * torch.randn(32, 16, dtype=torch.half)


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


class WhereRoot(Encoded):
    """The branch that is not taken still gives 0 x NaN in backward."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        return self.head(torch.where(h > 0, torch.sqrt(h), torch.zeros_like(h)))


@sick("nonfinite-gradient", "")
def where_does_not_save_a_root() -> Built:
    return WhereRoot(), torch.randn(32, 12)


class Distances(Encoded):
    """The distance of every code from every code, itself included: sqrt(0) on the diagonal."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.head(self.encoder(x))
        return torch.sqrt((z[:, None] - z[None]).square().sum(-1))


@sick("nonfinite-gradient", "")
def distance_to_itself() -> Built:
    return Distances(), torch.randn(16, 12)


class Angles(nn.Module):
    """The angle between a vector and itself: acos'(1) is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(12, 16)

    def forward(self, x: Tensor) -> Tensor:
        z = F.normalize(self.encoder(x), dim=-1)
        return torch.acos((z @ z.T).clamp(-1, 1))


@sick("nonfinite-gradient", "")
def angle_to_itself() -> Built:
    model, x = Angles().double(), torch.randn(16, 12, dtype=torch.float64)
    return model, torch.cat((x, 2 * x))


class LogOfSoftmax(Encoded):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(F.softmax(300 * self.head(self.encoder(x)), dim=-1))


@sick("nonfinite-gradient", "", also={"saturated-activation": "a softmax of logits times 300 is saturated as well"})
def log_of_a_softmax_that_underflows() -> Built:
    return LogOfSoftmax(), 3 * torch.randn(64, 12)


class Power(Encoded):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x) ** 0.5)


@sick("nonfinite-gradient", "")
def root_of_a_negative() -> Built:
    return Power(), torch.randn(32, 12)


class CosineHead(Encoded):
    """Normalised by hand; one code is 0."""

    def forward(self, x: Tensor) -> Tensor:
        z = F.relu(self.encoder(x)) * (x[:, :1] > 0)
        return self.head(z / z.norm(dim=1, keepdim=True))


@sick("nonfinite-gradient", "")
def normalised_zero_vector() -> Built:
    return CosineHead(), torch.randn(32, 12)


class Nats(nn.Module):
    """Binary cross entropy by hand, on probabilities that reach 1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        p = torch.sigmoid(self.net(x).squeeze(-1))
        return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


@sick(
    "nonfinite-gradient",
    "",
    also={"saturated-activation": "logits in the hundreds saturate the sigmoid"},
    data="a standard deviation of 1000",
)
def cross_entropy_by_hand() -> Built:
    return Nats(), (1000 * torch.randn(64, 12), torch.randint(0, 2, (64,)).float())


@sick("nonfinite-gradient", "1")
def negative_running_variance() -> Built:
    """A checkpoint with a broken BatchNorm buffer, in eval mode."""
    model = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)).eval()
    model[1].running_var[7] = -1.0
    return model, torch.randn(32, 12)
