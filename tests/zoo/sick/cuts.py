"""Sick models in which one operation cuts the graph, so that the layers before it are never trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

AT = ("encoder", "")
"""The parameters that were cut off, or the model whose forward cuts them."""


class Two(nn.Module):
    """An encoder and a head; a subclass says what lies between them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 16))
        self.head = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def batch() -> Tensor:
    return torch.randn(64, 12)


class Detached(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).detach())


@sick("cut-gradient", *AT)
def detach() -> Built:
    return Detached(), batch()


class Data(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.encoder(x).data))


@sick("cut-gradient", *AT)
def dot_data() -> Built:
    return Data(), batch()


class NoGrad(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            z = self.encoder(x)
        return self.head(z)


@sick("cut-gradient", *AT)
def no_grad() -> Built:
    return NoGrad(), batch()


class Numpy(Two):
    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x).detach().cpu().numpy()
        z = (z - z.mean(axis=0)) / (z.std(axis=0) + 1e-6)
        return self.head(torch.from_numpy(z.astype(np.float32)))


@sick("cut-gradient", *AT, also={"mixed-samples": "it standardises over the batch"})
def numpy_round_trip() -> Built:
    return Numpy(), batch()


class Copied(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tensor(self.encoder(x)))


@sick("cut-gradient", *AT)
def torch_tensor_of_a_tensor() -> Built:
    return Copied(), batch()


class Listed(Two):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tensor(self.encoder(x).tolist()))


@sick("cut-gradient", *AT)
def to_list() -> Built:
    return Listed(), batch()


class Scale(nn.Module):
    """A learned temperature, read as a number."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))
        self.net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) / self.temperature.item()


@sick("cut-gradient", "temperature", "", synonyms={"missing-gradient": "the number bears no trace of the parameter"})
def item() -> Built:
    return Scale(), batch()


class TwoBranches(nn.Module):
    """Of two encoders one is detached: the output still has a gradient, and the loss still falls."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(12, 16), nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16))
        self.head = nn.Linear(32, 4)

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        fused = torch.cat((F.relu(self.image(image)), self.text(text).detach()), dim=-1)
        return self.head(fused)


@sick("cut-gradient", "text", "")
def one_of_two_encoders_detached() -> Built:
    return TwoBranches(), (batch(), torch.randn(64, 8))


class Carried(nn.Module):
    """Truncation after every step: the recurrent layer before the last step is cut, and its input layer with it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.cell = nn.GRUCell(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x[:, 0]))
        for t in range(1, x.shape[1]):
            h = self.cell(x[:, t], h.detach())
        return self.head(h)


@sick("cut-gradient", "first", "")
def hidden_state_detached_every_step() -> Built:
    return Carried(), torch.randn(32, 6, 8)
