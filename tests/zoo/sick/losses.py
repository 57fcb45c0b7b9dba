"""Sick models through their loss, their batch axis, their time axis or a derivative written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


class Prices(nn.Module):
    """Prices of houses as they stand in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor, price: Tensor) -> Tensor:
        return F.mse_loss(self.body(x).squeeze(1), price)


@sick("high-initial-loss", "body", "", data="targets of 200000")
def prices_as_they_are() -> Built:
    return Prices(), (torch.randn(64, 10), 200_000 + 50_000 * torch.rand(64))


class TiedNormal(nn.Module):
    """Logits by an embedding of standard deviation one, 128 wide."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.norm = nn.Embedding(200, 128), nn.LayerNorm(128)
        self.mlp = nn.Sequential(nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 128))

    def forward(self, ids: Tensor) -> Tensor:
        h = self.tokens(ids[:, :-1])
        logits = self.norm(h + self.mlp(h)) @ self.tokens.weight.T
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


@sick("high-initial-loss", "tokens", "")
def logits_by_an_unscaled_embedding() -> Built:
    return TiedNormal(), torch.randint(0, 200, (16, 12))


class Student(nn.Module):
    """A student whose probabilities are softened once more."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 6), nn.Softmax(dim=1))

    def forward(self, x: Tensor, teacher: Tensor) -> Tensor:
        return F.kl_div(F.log_softmax(self.student(x) / 2, dim=1), F.softmax(teacher / 2, dim=1), reduction="batchmean")


@sick("double-softmax", "student", "")
def student_softened_twice() -> Built:
    return Student(), (torch.randn(32, 12), 5 * torch.randn(32, 6))


class Focal(nn.Module):
    """A focal loss on what is already a probability."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 1), nn.Sigmoid())

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.body(x).squeeze(1)
        bce = F.binary_cross_entropy_with_logits(p, y, reduction="none")
        return ((1 - torch.exp(-bce)) ** 2 * bce).mean()


@sick("double-softmax", "body", "")
def focal_loss_of_probabilities() -> Built:
    return Focal(), (torch.randn(32, 12), (torch.rand(32) < 0.5).float())


class Implicit(nn.Module):
    """nn.Softmax() of three dimensions takes the first."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.weigh = nn.Softmax()

    def forward(self, x: Tensor) -> Tensor:
        return self.weigh(self.q(x) @ self.k(x).transpose(1, 2) / 4) @ self.v(x)


@sick("mixed-samples", "weigh", "")
def softmax_without_its_axis() -> Built:
    return Implicit(), torch.randn(8, 5, 16)


class Unit(nn.Module):
    """Features normalised along the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(12, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.normalize(self.body(x), dim=0))


@sick("mixed-samples", "body", "")
def unit_length_along_the_batch() -> Built:
    return Unit(), torch.randn(16, 12)


class Reshaped(nn.Module):
    """A reshape where a transpose was meant."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(8, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, features = x.shape
        _, state = self.rnn(x.reshape(steps, batch, features))
        return self.head(state[0])


@sick("mixed-samples", "", data="which axis counts the samples")
def reshaped_where_a_transpose_was_meant() -> Built:
    return Reshaped(), torch.randn(12, 7, 8)


class Summary(nn.Module):
    """The mean of the whole sequence added to every step."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(6, 16), nn.Linear(16, 6)

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        return self.head(torch.relu(h + h.mean(1, keepdim=True)))


@sick("future-leak", "", causal=True)
def summary_added_to_every_step() -> Built:
    return Summary(), torch.randn(8, 12, 6)


class Excited(nn.Module):
    """A causal convolution whose channels are weighed by a look at all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze, self.head = nn.Conv1d(4, 16, 3), nn.Linear(16, 16), nn.Conv1d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.conv(F.pad(x, (2, 0))))
        return self.head(h * torch.sigmoid(self.squeeze(h.mean(2))).unsqueeze(2))


@sick("future-leak", "", causal=True)
def channels_weighed_by_all_steps() -> Built:
    return Excited(), torch.randn(8, 4, 20)


class Swish(torch.autograd.Function):
    """The derivative of x * sigmoid(x) without its second term."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * torch.sigmoid(x)


class Swished(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(12, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Swish.apply(self.enter(x)))


@sick("wrong-backward", "enter", "")
def product_rule_forgotten() -> Built:
    return Swished(), torch.randn(32, 12)


class Soft(torch.autograd.Function):
    """A softmax whose backward forgets what the others lose."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = F.softmax(x, dim=-1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return grad * y * (1 - y)


class Weighing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.score, self.value = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(Soft.apply(self.score(x)))


@sick("wrong-backward", "score", "")
def softmax_without_its_cross_terms() -> Built:
    return Weighing(), torch.randn(16, 8)


class Decoder(nn.Module):
    """An autoencoder whose last activation cannot return what it has to reconstruct."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 12), last)

    def forward(self, x: Tensor) -> Tensor:
        return F.mse_loss(self.net(x), x)


@sick("misread-loss", "", data="targets below 0")
def sigmoid_in_front_of_standardised_targets() -> Built:
    return Decoder(nn.Sigmoid()), torch.randn(32, 12)


@sick("misread-loss", "", data="targets above 1")
def tanh_in_front_of_pixels() -> Built:
    return Decoder(nn.Tanh()), torch.rand(32, 12) * 255 / 64


class Temperatures(nn.Module):
    """A rectifier behind the last layer of a regression, and half of the targets below zero."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x: Tensor, degrees: Tensor) -> Tensor:
        return F.smooth_l1_loss(torch.relu(self.net(x)).squeeze(-1), degrees)


@sick("misread-loss", "", data="targets below 0")
def rectified_temperatures() -> Built:
    return Temperatures(), (torch.randn(64, 10), torch.randn(64))


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 6))

    def forward(self, x: Tensor, tags: Tensor) -> Tensor:
        return F.nll_loss(self.net(x).log_softmax(0), tags)


@sick("misread-loss", "", also={"mixed-samples": "the softmax of the samples mixes them"})
def log_softmax_of_the_samples() -> Built:
    return Tagger(), (torch.randn(32, 10), torch.randint(0, 6, (32,)))
