"""Sick models with a layer that runs and reads none of its own weights: it is handed another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


class Borrowing(nn.Linear):
    """A linear layer that may be given the weight of another."""

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return F.linear(x, self.weight if weight is None else weight)


class Tied(nn.Module):
    """Logits by the table of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.body = nn.Embedding(40, 16), nn.Linear(16, 16)
        self.output = Borrowing(16, 40, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.output(torch.tanh(self.body(self.embed(ids))), self.embed.weight)
        return out


@sick("missing-gradient", "output")
def logits_by_the_table_of_the_embedding() -> Built:
    return Tied(), torch.randint(0, 40, (16, 6))


class Decoder(nn.Module):
    """An autoencoder whose decoder takes the transposed weight of the encoder, and has one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(12, 6), Borrowing(6, 12, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(torch.relu(self.encoder(x)), self.encoder.weight.T)
        return out


@sick("missing-gradient", "decoder")
def decoder_by_the_weight_of_the_encoder() -> Built:
    return Decoder(), torch.randn(32, 12)
