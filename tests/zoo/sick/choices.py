"""Sick models in which a hard choice, a rounding or a sample cuts the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick
from tests.zoo.sick.cuts import AT, Two, batch


class Hard(Two):
    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Embedding(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.codes(self.encoder(x).argmax(dim=-1)))


@sick("cut-gradient", *AT)
def argmax() -> Built:
    return Hard(), batch()


class OneHot(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.one_hot(self.encoder(x).argmax(dim=-1), 16).float())


@sick("cut-gradient", *AT)
def one_hot() -> Built:
    return OneHot(), batch()


class Rounded(Two):
    """Quantisation without a straight-through estimator: the derivative is 0 everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.round(4 * self.encoder(x)) / 4)


ZERO = {"zero-gradient": "autograd passes this operation with a derivative of 0"}


@sick("cut-gradient", *AT, synonyms=ZERO)
def rounding() -> Built:
    return Rounded(), batch()


class Binary(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sign(self.encoder(x)))


@sick("cut-gradient", *AT, synonyms=ZERO)
def sign() -> Built:
    return Binary(), batch()


class Floored(Two):
    def forward(self, x: Tensor) -> Tensor:
        z = torch.sigmoid(self.encoder(x))
        return self.head(torch.floor(z * 8) / 8)


@sick("cut-gradient", *AT, synonyms=ZERO)
def floor() -> Built:
    return Floored(), batch()


class Compared(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.encoder(x) > 0).float())


@sick("cut-gradient", *AT)
def comparison_mask() -> Built:
    return Compared(), batch()


class Sampled(Two):
    """A sample where a reparametrised sample was meant."""

    def forward(self, x: Tensor) -> Tensor:
        mean, log_std = self.encoder(x).chunk(2, dim=-1)
        z = torch.distributions.Normal(mean, log_std.exp()).sample()
        return self.head(torch.cat((z, z), dim=-1))


@sick("cut-gradient", *AT)
def sample_without_reparametrisation() -> Built:
    return Sampled(), batch()


class Choice(Two):
    def forward(self, x: Tensor) -> Tensor:
        index = torch.multinomial(F.softmax(self.encoder(x), dim=-1), 1).squeeze(1)
        return self.head(F.one_hot(index, 16).float())


@sick("cut-gradient", *AT)
def multinomial() -> Built:
    return Choice(), batch()
