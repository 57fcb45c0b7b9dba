"""Sound models with a part that is never trained, on purpose: backbones, teachers, targets."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound
from tests.zoo.sound.routing import mlp


class Transfer(nn.Module):
    """A frozen backbone, run without a graph, and a new head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.backbone.requires_grad_(False)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.backbone(x)
        return self.head(features)


@sound
def frozen_backbone() -> Built:
    return Transfer(), torch.randn(16, 3, 12, 12)


class Frozen(Transfer):
    """The same backbone under inference_mode: its tensors keep no versions."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            features = self.backbone(x)
        return self.head(features.clone())


@sound
def frozen_backbone_in_inference_mode() -> Built:
    return Frozen(), torch.randn(16, 3, 12, 12)


class BYOL(nn.Module):
    """Two views; the target is a moving average that takes no gradient (Grill et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
        self.predictor = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16))
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        loss = torch.zeros(())
        for here, there in ((first, second), (second, first)):
            with torch.no_grad():
                goal = self.target(there)
            loss = loss + (2 - 2 * F.cosine_similarity(self.predictor(self.online(here)), goal)).mean()
        return loss


@sound
def byol() -> Built:
    x = torch.randn(32, 20)
    return BYOL(), (x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x))


class SimSiam(nn.Module):
    """Two views of one encoder; the side that is detached learns as the other one (Chen & He 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16), nn.BatchNorm1d(16))
        self.predictor = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 16))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        z1, z2 = self.encoder(first), self.encoder(second)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        return -0.5 * (F.cosine_similarity(p1, z2.detach()).mean() + F.cosine_similarity(p2, z1.detach()).mean())


@sound
def simsiam() -> Built:
    x = torch.randn(32, 20)
    return SimSiam(), (x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x))


class DQN(nn.Module):
    """Temporal difference loss against a frozen copy (Mnih et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.online = mlp(4, 32, 32, 3)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, state: Tensor, action: Tensor, reward: Tensor, after: Tensor) -> Tensor:
        value = self.online(state).gather(1, action[:, None]).squeeze(1)
        with torch.no_grad():
            goal = reward + 0.99 * self.target(after).max(dim=1).values
        return F.smooth_l1_loss(value, goal)


@sound
def dqn() -> Built:
    return DQN(), (torch.randn(64, 4), torch.randint(0, 3, (64,)), torch.randn(64), torch.randn(64, 4))


class Distillation(nn.Module):
    """A student against a frozen teacher's soft targets."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = mlp(10, 64, 64, 5).requires_grad_(False).eval()
        self.student = mlp(10, 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            soft = F.softmax(self.teacher(x) / 2, dim=-1)
        return F.kl_div(F.log_softmax(self.student(x) / 2, dim=-1), soft, reduction="batchmean")


@sound
def distillation() -> Built:
    return Distillation(), torch.randn(32, 10)
