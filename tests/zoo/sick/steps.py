"""Sick models with a step that carries no gradient, or one that means nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick


class TopIndices(nn.Module):
    """Which features are largest, where how large they are was meant."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.topk(self.score(x), 8, dim=1)[1].float() / 32)


@sick("cut-gradient", "score", "")
def indices_of_the_largest() -> Built:
    return TopIndices(), torch.randn(32, 12)


class Spikes(nn.Module):
    """A spiking layer without a surrogate."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(12, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        potential = torch.zeros(len(x), 32)
        total = torch.zeros(len(x), 32)
        for _ in range(5):
            potential = 0.9 * potential + self.enter(x)
            spike = (potential > 0.5).float()
            potential = potential * (1 - spike)
            total = total + spike
        return self.leave(total / 5)


@sick("cut-gradient", "enter", "")
def spikes_without_a_surrogate() -> Built:
    return Spikes(), torch.randn(32, 12)


class Bins(nn.Module):
    """Values put into bins and embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.bins, self.head = nn.Linear(12, 6), nn.Embedding(11, 8), nn.Linear(48, 3)
        self.register_buffer("edges", torch.linspace(-1, 1, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bins(torch.bucketize(self.enter(x), self.edges)).flatten(1))


@sick("cut-gradient", "enter", "")
def values_put_into_bins() -> Built:
    return Bins(), torch.randn(32, 12)


class SingleGroups(nn.Module):
    """A group norm with as many groups as channels, behind a global pooling: every value is its own mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, 16)
        self.norm, self.head = nn.GroupNorm(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(torch.relu(self.conv(x)), 1).flatten(1)
        return self.head(torch.relu(self.norm(self.squeeze(pooled))))


@sick(
    "zero-gradient",
    "norm",
    "conv",
    "squeeze",
    "",
    synonyms={"constant-output": "what the norm leaves is the same for all inputs"},
)
def group_norm_of_single_values() -> Built:
    return SingleGroups(), torch.randn(16, 3, 12, 12)


class UnitLength(nn.Module):
    """Numbers normalised to length one, one by one: nothing but their signs is left."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 1))
        self.head = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.normalize(self.score(x), dim=1))


@sick("zero-gradient", "score", "", synonyms={"vanishing-gradient": "what is left of the gradient is rounding"})
def numbers_of_unit_length() -> Built:
    return UnitLength(), torch.randn(32, 12)


class Total(nn.Module):
    """The probabilities of all classes, added up."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.body(x), dim=1).sum(1)


@sick("constant-output", "body", "")
def sum_of_all_probabilities() -> Built:
    return Total(), torch.randn(32, 12)


class Centred(nn.Module):
    """Features without their mean, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 8, 3, padding=1))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return self.head((z - z.mean(2, keepdim=True)).mean(2))


@sick("constant-output", "body", "", synonyms={"vanishing-gradient": "rounding is all that is left of the gradient"})
def mean_of_what_has_no_mean() -> Built:
    return Centred(), torch.randn(16, 3, 20)


class Scored(nn.Module):
    """Two scores compared by their angle: numbers have none."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        self.right = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return F.cosine_similarity(self.left(a), self.right(b))


@sick(
    "zero-gradient",
    "left",
    "right",
    "",
    synonyms={"vanishing-gradient": "rounding is all that is left", "constant-output": "one or minus one for all"},
)
def cosine_of_two_numbers() -> Built:
    return Scored(), (torch.randn(32, 8), torch.randn(32, 8))


class Written(nn.Module):
    """An activation overwritten while its exponential is still needed."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(12, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.exp(self.enter(x))
        h += 1
        return self.leave(torch.log(h))


@sick("failed-backward", "enter", "")
def overwritten_before_backward() -> Built:
    return Written(), torch.randn(32, 12)


class Carried(nn.Module):
    """The state of the last batch with its graph: the second backward goes through the first one's."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 16), nn.Linear(16, 3)
        self.state: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 16) if self.state is None else self.state
        self.state = self.cell(x, state)
        return self.head(self.state)


@sick("failed-backward", "state", "")
def graph_carried_to_the_next_batch() -> Built:
    return Carried(), torch.randn(16, 8)


class Ensemble(nn.Module):
    """Members copied from one another and averaged: they stay one."""

    def __init__(self) -> None:
        super().__init__()
        member = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
        self.members = nn.ModuleList(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)) for _ in range(3))
        for copy in self.members:
            copy.load_state_dict(member.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


@sick("identical-units", "members", "")
def ensemble_of_copies() -> Built:
    return Ensemble(), torch.randn(32, 12)


@sick(
    "zero-gradient",
    "0",
    "2",
    "4",
    "",
    synonyms={"identical-units": "all units are zero, and stay so", "dead-unit": "no unit is ever on"},
)
def all_weights_zero() -> Built:
    model = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model, torch.randn(32, 12)


@sick("identical-units", "0", "2", "")
def table_of_ones_under_an_averaging_head() -> Built:
    model = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.constant_(layer.weight, 1 / layer.in_features)
            nn.init.zeros_(layer.bias)
    return model, torch.randn(32, 12)
