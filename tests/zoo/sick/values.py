"""Sick models through the values that flow: what is not finite, dead, saturated or out of the range of half precision."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


class GeneralisedMean(nn.Module):
    """Generalised mean pooling without its clamp: a power of what is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.p, self.head = nn.Conv2d(3, 8, 3), nn.Parameter(torch.tensor(2.7)), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).pow(self.p).mean((2, 3)).pow(1 / self.p))


@sick("nonfinite-gradient", "")
def power_of_a_negative() -> Built:
    return GeneralisedMean(), torch.randn(8, 3, 10, 10)


class MeanOfTokens(nn.Module):
    """The mean over the tokens that are there, of a sentence that has none."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(40, 16), nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        weights = mask.unsqueeze(-1).float()
        return self.head((self.tokens(ids) * weights).sum(1) / weights.sum(1))


@sick("nonfinite-gradient", "", data="a mask with an empty row")
def mean_of_no_tokens() -> Built:
    mask = torch.ones(8, 6)
    mask[3] = 0
    return MeanOfTokens(), (torch.randint(0, 40, (8, 6)), mask)


class Frequencies(nn.Module):
    """Wavelengths counted from zero."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequency", 1.0 / torch.arange(16).float())
        self.enter, self.head = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        angle = torch.arange(x.shape[1]).unsqueeze(1) * self.frequency
        return self.head(self.enter(x) + torch.cat([angle.sin(), angle.cos()], dim=1))


@sick("nonfinite-gradient", "")
def wavelengths_from_zero() -> Built:
    return Frequencies(), torch.randn(8, 6, 8)


class Spectrum(nn.Module):
    """The eigenvectors of a matrix that begins as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.metric, self.head = nn.Parameter(torch.eye(6)), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        _, vectors = torch.linalg.eigh(self.metric @ self.metric.T)
        return self.head(x @ vectors)


@sick("nonfinite-gradient", "metric", "")
def eigenvectors_of_the_identity() -> Built:
    return Spectrum(), torch.randn(16, 6)


class MinMax(nn.Module):
    """Each image stretched from its smallest to its largest value, and one is blank."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return self.head(torch.relu(self.conv((x - low) / (high - low))).mean((2, 3)))


@sick("nonfinite-gradient", "", data="a blank image")
def blank_image_stretched() -> Built:
    x = torch.rand(8, 1, 12, 12)
    x[2] = 0.5
    return MinMax(), x


class SoftPlus(nn.Module):
    """log(1 + exp(x)) as it is written on paper."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(6, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.log(1 + torch.exp(self.enter(x))))


@sick("nonfinite-gradient", "", data="a standard deviation of 200")
def softplus_as_on_paper() -> Built:
    return SoftPlus(), 200 * torch.randn(32, 6)


class Shrunk(nn.Module):
    """Coefficients shrunk by a threshold above all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(12, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.softshrink(self.enter(x), 5.0))


@sick("dead-unit", "enter", "", synonyms={"zero-gradient": "no unit passes anything"})
def shrunk_to_nothing() -> Built:
    return Shrunk(), torch.randn(64, 12)


@sick("dead-unit", "0", "1", "")
def threshold_above_all_values() -> Built:
    return nn.Sequential(nn.Linear(12, 24), nn.Threshold(10.0, 0.0), nn.Linear(24, 4)), torch.randn(64, 12)


@sick(
    "dead-unit",
    "0",
    "1",
    "",
    data="values in the thousands",
)
def relu6_of_thousands() -> Built:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU6(), nn.Linear(16, 3))
    nn.init.uniform_(model[0].weight, 0.5, 1.0)
    return model, 1000 * torch.rand(64, 8) + 10


class LargeAttention(nn.Module):
    """Embeddings of std 20 under dot products: every token looks at one."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.attention = nn.Embedding(50, 32), nn.MultiheadAttention(32, 4, batch_first=True)
        nn.init.normal_(self.tokens.weight, std=20.0)
        self.head = nn.Linear(32, 4)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.tokens(ids)
        return self.head(self.attention(h, h, h, need_weights=False)[0].mean(1))


@sick("saturated-activation", "attention", "")
def attention_of_large_embeddings() -> Built:
    return LargeAttention(), torch.randint(0, 50, (16, 10))


class Unscaled(nn.Module):
    """Dot products of 256 features without their root."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(256, 256), nn.Linear(256, 256), nn.Linear(256, 256)
        for layer in (self.q, self.k):
            nn.init.normal_(layer.weight, std=0.1)
        self.head = nn.Linear(256, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), scale=1.0).mean(1))


@sick("saturated-activation", "q", "k", "")
def dot_products_without_their_scale() -> Built:
    return Unscaled(), torch.randn(8, 10, 256)


class HalfSum(nn.Module):
    """A sum over all pixels in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.conv(x) ** 2 * 64).sum((2, 3)))


@sick("half-precision-overflow", "head", "", synonyms={"nonfinite-gradient": "what overflows is infinite"})
def sum_over_pixels_in_half() -> Built:
    return HalfSum().half(), torch.rand(4, 1, 64, 64).half() * 4


class HalfScores(nn.Module):
    """Unscaled dot products of long vectors in half precision, and a mask of -1e4 added."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(128, 128), nn.Linear(128, 128), nn.Linear(128, 128)
        for layer in (self.q, self.k):
            nn.init.normal_(layer.weight, std=1.0)

    def forward(self, x: Tensor) -> Tensor:
        scores = (self.q(x) * 8) @ (self.k(x) * 8).transpose(1, 2)
        return F.softmax(scores, dim=-1) @ self.v(x)


@sick(
    "half-precision-overflow",
    "",
    also={"saturated-activation": "scores of that size leave one entry"},
    synonyms={"nonfinite-gradient": "what overflows is infinite"},
)
def scores_beyond_half() -> Built:
    return HalfScores().half(), 4 * torch.randn(4, 6, 128).half()
