"""Sick models as habits and half-remembered recipes make them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tests.zoo.entry import Built, sick


class Two(nn.Module):
    """An encoder and a head; a subclass says what lies between them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 16))
        self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def batch() -> Tensor:
    return torch.randn(64, 12)


class WrongStraightThrough(Two):
    """z + (code - z) without a detach: the encoder's gradient cancels."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Embedding(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        code = self.codes(torch.cdist(z, self.codes.weight).argmin(dim=1))
        return self.head(z + (code - z))


@sick(
    "zero-gradient",
    "encoder",
    also={"cut-gradient": "argmin has no gradient either"},
    synonyms={"cut-gradient": "argmin has none"},
)
def straight_through_without_detach() -> Built:
    return WrongStraightThrough(), batch()


class Rewrapped(Two):
    """A parameter made of an activation is a new leaf."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.Parameter(self.encoder(x)))


@sick("unregistered-parameter", "encoder", "", synonyms={"cut-gradient": "the new leaf cuts the encoder off"})
def parameter_of_an_activation() -> Built:
    return Rewrapped(), batch()


class Restarted(Two):
    """Somebody silenced an error message."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).detach().requires_grad_(True))


@sick("cut-gradient", "encoder", "", synonyms={"unregistered-parameter": "what is cut off becomes a leaf of its own"})
def detach_and_requires_grad() -> Built:
    return Restarted(), batch()


class Inferred(Two):
    """inference_mode where the head was meant to be tried out."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            z = self.encoder(x)
        return self.head(z.clone())


@sick("cut-gradient", "encoder", "")
def inference_mode() -> Built:
    return Inferred(), batch()


class Floats(Two):
    """Python's float() of every value."""

    def forward(self, x: Tensor) -> Tensor:
        mean = self.encoder(x).mean(0)
        return self.head(torch.tensor([float(value) for value in mean]) + x[:, :1])


@sick("cut-gradient", "encoder", "", also={"mixed-samples": "a mean over the batch goes into every sample"})
def python_floats() -> Built:
    return Floats(), batch()


class Rows(nn.Module):
    """An embedding looked up in .weight.data."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(40, 16), nn.Linear(16, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.tokens.weight.data[ids].mean(1))


@sick("cut-gradient", "tokens", "", synonyms={"missing-gradient": "the layer itself is never called"})
def rows_of_weight_data() -> Built:
    return Rows(), torch.randint(0, 40, (32, 6))


class Checkpointed(nn.Module):
    """A reentrant checkpoint around the first block: its input needs no gradient, so the block gets none."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32))
        self.second = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(checkpoint(self.first, x, use_reentrant=True))


@sick("cut-gradient", "first", "", synonyms={"missing-gradient": "the graph never held the block"})
def reentrant_checkpoint_of_the_first_block() -> Built:
    return Checkpointed(), batch()


class DetachedBranch(nn.Module):
    """A residual branch that is added without its graph."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.branch, self.leave = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.enter(x))
        return self.leave(h + self.branch(h).detach())


@sick("cut-gradient", "branch", "")
def residual_branch_detached() -> Built:
    return DetachedBranch(), batch()


class InvertedMask(Two):
    """A loss mask the wrong way round: no position is left."""

    def forward(self, x: Tensor, padding: Tensor, y: Tensor) -> Tensor:
        loss = F.mse_loss(self.head(self.encoder(x)), y, reduction="none").mean(1)
        return (loss * padding).sum() / padding.sum().clamp(min=1)


@sick("zero-gradient", "encoder", "head", "", data="a mask of zeros")
def loss_mask_inverted() -> Built:
    return InvertedMask(), (batch(), torch.zeros(64), torch.randn(64, 4))


class OneSampleStd(Two):
    """The unbiased standard deviation of a single value is NaN."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.head(self.encoder(x)).mean(1, keepdim=True)
        return (z - z.mean(1, keepdim=True)) / (z.std(1, keepdim=True) + 1e-6)


@sick("nonfinite-gradient", "")
def standard_deviation_of_one_value() -> Built:
    return OneSampleStd(), batch()


class Probabilities(nn.Module):
    """The forward algorithm without logarithms: a product of 60 probabilities is 0, and its logarithm -inf."""

    def __init__(self) -> None:
        super().__init__()
        self.emit, self.transition = nn.Linear(8, 5), nn.Parameter(torch.randn(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        emitted = F.softmax(self.emit(x), dim=-1) * 0.2
        alpha = emitted[:, 0]
        for t in range(1, x.shape[1]):
            alpha = (alpha @ F.softmax(self.transition, dim=1)) * emitted[:, t]
        return -torch.log(alpha.sum(1)).mean()


@sick("nonfinite-gradient", "")
def product_of_probabilities() -> Built:
    return Probabilities(), torch.randn(8, 60, 8)
