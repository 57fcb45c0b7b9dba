"""Sick models in which no gradient, or only zeros, can reach a trained layer: unused, cut off, or multiplied by zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

from tests.zoo.entry import Built, sick


class Pair(nn.Module):
    """Two hidden layers and a head; a subclass says what goes wrong between them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.middle, self.head = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 4)


def batch() -> Tensor:
    return torch.randn(64, 12)


class Unused(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.encoder(x)))


@sick("missing-gradient", "middle")
def unused_layer() -> Built:
    return Unused(), batch()


class Typo(nn.Module):
    """fc2 where fc3 was meant."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.fc4 = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = F.relu(self.fc2(x))
        return self.fc4(x)


@sick("missing-gradient", "fc3")
def sibling_called_twice() -> Built:
    return Typo(), batch()


class Dropped(Pair):
    """The result is computed, and the old value goes on."""

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.encoder(x))
        F.relu(self.middle(h))
        return self.head(h)


@sick("missing-gradient", "middle")
def output_not_used() -> Built:
    return Dropped(), batch()


class ForgottenNorm(nn.Module):
    """norm2 was written down and never applied."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return x + self.mlp(x)


@sick("missing-gradient", "1.norm2")
def forgotten_norm() -> Built:
    return nn.Sequential(nn.Linear(8, 16), ForgottenNorm(), nn.Linear(16, 4)), torch.randn(16, 6, 8)


class TwoTowers(nn.Module):
    """The second input goes through the first tower."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Sequential(nn.Linear(12, 16), nn.ReLU()), nn.Sequential(nn.Linear(12, 16), nn.ReLU())
        self.head = nn.Linear(32, 4)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.cat((self.left(a), self.left(b)), dim=1))


@sick("missing-gradient", "right")
def wrong_tower() -> Built:
    return TwoTowers(), (batch(), batch())


class LastOnly(nn.Module):
    """A loop that keeps only what the last layer made of the input, not of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(12, 12) for _ in range(4))
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            h = F.relu(layer(x))
        return self.head(h)


@sick("missing-gradient", "layers.0", "layers.1", "layers.2")
def loop_variable_not_carried() -> Built:
    return LastOnly(), batch()


class BareParameter(Pair):
    """A learned position that is never added."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, 32))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.middle(F.relu(self.encoder(x)))))


@sick("missing-gradient", "position")
def unused_parameter() -> Built:
    return BareParameter(), batch()


class Zeroed(Pair):
    """A weight for an experiment, left at 0."""

    alpha = 0.0

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.encoder(x))
        return self.head(h + self.alpha * self.middle(h))


@sick("zero-gradient", "middle")
def branch_times_zero() -> Built:
    return Zeroed(), batch()


class ZeroedFloat32(Pair):
    """The same behind a cast: no float64 of this model can be run to confirm it."""

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.encoder(x)).float()
        return self.head(h + 0.0 * self.middle(h))


@sick("zero-gradient", "middle")
def branch_times_zero_in_float32_only() -> Built:
    return ZeroedFloat32(), batch()


class ZeroMask(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.zeros(32))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.encoder(x))
        return self.head(torch.cat((h[:, :16], (self.mask * self.middle(h))[:, 16:]), dim=1))


@sick("zero-gradient", "middle")
def branch_masked_by_a_zero_buffer() -> Built:
    return ZeroMask(), batch()


class LossWeight(nn.Module):
    """An auxiliary loss with weight 0.0: its head is in the loss, and learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head, self.auxiliary = nn.Linear(12, 32), nn.Linear(32, 4), nn.Linear(32, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = F.relu(self.encoder(x))
        return F.cross_entropy(self.head(h), y) + 0.0 * F.cross_entropy(self.auxiliary(h), y)


@sick("zero-gradient", "auxiliary")
def auxiliary_loss_times_zero() -> Built:
    return LossWeight(), (batch(), torch.randint(0, 4, (64,)))


@sick("zero-gradient", "2", synonyms={"constant-output": "nothing passes the pruned layer"})
def pruned_completely() -> Built:
    """A pruning mask of zeros: the weight below it can never come back."""
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    prune.random_unstructured(model[2], "weight", amount=1.0)
    return model, batch()


@sick("zero-gradient", "0", "2", "3", "", synonyms={"constant-output": "the output is 1 whatever comes in"})
def softmax_over_one_unit() -> Built:
    """Softmax where a sigmoid was meant."""
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1), nn.Softmax(dim=-1)), batch()


@sick("zero-gradient", "0", "2", "3", "4", synonyms={"constant-output": "the output no longer depends on anything before it"})
def dropout_of_everything() -> Built:
    """p = 1.0 where the keep probability was meant."""
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.Dropout(1.0), nn.Linear(32, 4)), batch()
