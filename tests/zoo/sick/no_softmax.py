"""Losses by hand of probabilities that nobody made of the scores: the same large scores for every sample satisfy them all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

CLASSES = torch.arange(96) % 6


def scores() -> Built:
    return nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 6)), torch.randn(96, 16)


def one_hot_times_logarithm(scores: Tensor, classes: Tensor) -> Tensor:
    return -(F.one_hot(classes, 6) * scores.clamp(1e-12, 1.0).log()).sum(1).mean()


@sick("misread-loss", "2", loss=one_hot_times_logarithm, targets=CLASSES)
def logarithm_of_scores() -> Built:
    return scores()


def focal(scores: Tensor, classes: Tensor) -> Tensor:
    picked = scores.clamp(1e-8, 1.0).gather(1, classes[:, None])
    return -((1 - picked) ** 2 * picked.log()).mean()


@sick("misread-loss", "2", loss=focal, targets=CLASSES)
def focal_loss_of_scores() -> Built:
    return scores()


def smoothed(scores: Tensor, classes: Tensor) -> Tensor:
    wanted = F.one_hot(classes, 6) * 0.9 + 0.1 / 6
    return -(wanted * (scores.clamp(min=1e-10).log().clamp(max=0.0))).sum(1).mean()


@sick("misread-loss", "2", loss=smoothed, targets=CLASSES)
def smoothed_logarithm_of_scores() -> Built:
    return scores()
