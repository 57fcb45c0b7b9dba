"""Sick models that answer the same to every input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

RULE = "constant-output"


@sick(RULE, "4", "")
def softmax_of_one_flat_unit() -> Built:
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(), nn.Softmax(dim=1))
    return model, torch.randn(64, 10)


@sick(RULE, "2", "", synonyms={"vanishing-gradient": "what comes back through the norm is rounding"})
def layer_norm_of_one_unit() -> Built:
    return nn.Sequential(nn.Linear(10, 32), nn.GELU(), nn.Sequential(nn.Linear(32, 1), nn.LayerNorm(1))), torch.randn(64, 10)


class Forgetful(nn.Module):
    """The hidden state is updated, and the input is not read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(10, 16)
        self.cell = nn.GRUCell(16, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(torch.zeros_like(x))
        return self.out(self.cell(z, torch.zeros(len(x), 16)))


@sick(RULE, "", "out", "embed", "cell", synonyms={"zero-gradient": "the weights behind the zeros learn nothing"})
def input_replaced_by_zeros() -> Built:
    return Forgetful(), torch.randn(32, 10)


class WrongMask(nn.Module):
    """The mask is compared with the wrong number, so that every token is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 2))

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids == 99).float()[..., None]
        return self.mlp((self.embed(ids) * mask).sum(1))


@sick(RULE, "", "mlp", "embed", synonyms={"zero-gradient": "the mask is a factor of zero"})
def every_token_is_masked() -> Built:
    return WrongMask(), torch.randint(0, 20, (32, 9), generator=torch.Generator().manual_seed(1))


class Offset(nn.Module):
    """The learnt part is too small to be seen beside the offset."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        return 273.15 + 1e-4 * self.net(x)


@sick(RULE, "", "net", synonyms={"vanishing-gradient": "1e-4 is little for a gradient too"})
def offset_drowns_the_output() -> Built:
    return Offset(), torch.randn(32, 10)


class Saturated(nn.Module):
    """A sigmoid behind raw pixel values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4 * 64, 1)
        nn.init.constant_(self.conv.bias, 300.0)
        nn.init.constant_(self.head.weight, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(F.softplus(self.conv(x)).flatten(1)))


@sick(RULE, "", "head", synonyms={"saturated-activation": "the sigmoid is what makes the output constant"})
def saturated_head() -> Built:
    return Saturated(), torch.randn(32, 1, 8, 8)


class Difference(nn.Module):
    """A straight-through estimator that lost one of its terms."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(10, 8)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.encoder(x))
        return z - z.detach()


@sick(RULE, "", "encoder")
def difference_from_itself() -> Built:
    return Difference(), torch.randn(32, 10)


@sick(RULE, "0.weight", "2.weight", "4.weight")
def hidden_layers_of_zeros() -> Built:
    """Biases are random: each step wakes one more layer, and none learns much for hundreds of steps."""
    model = nn.Sequential(
        nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3)
    )
    for layer in (model[0], model[2], model[4]):
        nn.init.zeros_(layer.weight)
    return model, torch.randn(64, 10)


@sick(RULE, "0.weight", "2.weight", "5.weight")
def convolutions_and_a_head_of_zeros() -> Built:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(8 * 64, 16),
        nn.SiLU(),
        nn.Linear(16, 5),
    )
    for layer in (model[0], model[2], model[5]):
        nn.init.zeros_(layer.weight)
    return model, torch.randn(32, 3, 12, 12)


class Adapted(nn.Module):
    """A projection of zeros under a head of zeros, and nothing around them."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.adapter, self.head = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 16), nn.Linear(16, 3)
        nn.init.zeros_(self.adapter.weight)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.adapter(self.cell(x)[0][:, -1])))


@sick(RULE, "adapter.weight", "head.weight")
def adapter_of_zeros_under_a_head_of_zeros() -> Built:
    return Adapted(), torch.randn(32, 6, 8)
