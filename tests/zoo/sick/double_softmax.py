"""Sick models that hand probabilities to something that wants logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

RULE = "double-softmax"


def labels(count: int, classes: int) -> Tensor:
    return torch.arange(count) % classes


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 5), nn.Softmax(dim=1))
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.criterion(self.net(x), y)


@sick(RULE, "net.3")
def softmax_layer_and_cross_entropy() -> Built:
    return Classifier(), (torch.randn(64, 10), labels(64, 5))


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8, 1)

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        score = torch.sigmoid(self.fc(F.relu(self.conv(x)).mean((2, 3)))).squeeze(1)
        return {"loss": F.binary_cross_entropy_with_logits(score, y), "score": score}


@sick(RULE, "")
def sigmoid_and_bce_with_logits() -> Built:
    return Detector(), (torch.randn(16, 3, 8, 8), (torch.arange(16) % 2).float())


class LanguageModel(nn.Module):
    """Softmax over the vocabulary, then the usual reshaping for the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.rnn = nn.GRU(16, 24, batch_first=True)
        self.out = nn.Linear(24, 20)

    def forward(self, ids: Tensor) -> Tensor:
        probs = self.out(self.rnn(self.embed(ids))[0]).softmax(dim=-1)
        return F.cross_entropy(probs[:, :-1].reshape(-1, 20), ids[:, 1:].reshape(-1))


@sick(RULE, "")
def softmax_over_a_vocabulary() -> Built:
    return LanguageModel(), torch.randint(0, 20, (16, 12), generator=torch.Generator().manual_seed(1))


class Segmenter(nn.Module):
    """Classes last for the softmax, classes second for the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        probs = torch.softmax(self.body(x).permute(0, 2, 3, 1), -1).clamp(1e-6, 1)
        return F.cross_entropy(probs.permute(0, 3, 1, 2), y)


@sick(RULE, "")
def softmax_of_pixels() -> Built:
    return Segmenter(), (torch.randn(8, 1, 6, 6), torch.randint(0, 4, (8, 6, 6), generator=torch.Generator().manual_seed(1)))


class Ensemble(nn.Module):
    """The mean of the members' probabilities, taken for a logit."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(nn.Linear(10, 3) for _ in range(3))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        mean = torch.stack([F.softmax(member(x), dim=-1) for member in self.members]).mean(0)
        return F.cross_entropy(mean, y)


@sick(RULE, "", "members")
def mean_of_softmaxes_and_cross_entropy() -> Built:
    return Ensemble(), (torch.randn(48, 10), labels(48, 3))


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 4), nn.Softmax(dim=-1))

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        return -torch.distributions.Categorical(logits=self.actor(state)).log_prob(action).mean()


@sick(RULE, "actor.3")
def probabilities_as_logits_of_a_policy() -> Built:
    return Policy(), (torch.randn(64, 6), labels(64, 4))


class MultiLabel(nn.Module):
    """Sigmoid scores into a softmax loss: one of two heads was copied from another project."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Linear(10, 16)
        self.head = nn.Linear(16, 6)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.head(F.gelu(self.trunk(x))).sigmoid(), y)


@sick(RULE, "")
def sigmoid_and_cross_entropy() -> Built:
    return MultiLabel(), (torch.randn(60, 10), labels(60, 6))
