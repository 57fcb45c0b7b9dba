"""Sound losses written by hand: a softmax of one's own, squared errors with weights, rankings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound_if

CLASSES = torch.arange(96) % 6


def scores() -> Built:
    return nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 6)), torch.randn(96, 16)


def own_softmax(scores: Tensor, classes: Tensor) -> Tensor:
    weights = (scores - scores.amax(1, keepdim=True)).exp()
    return -((weights / weights.sum(1, keepdim=True)).clamp(1e-12, 1.0).log() * F.one_hot(classes, 6)).sum(1).mean()


@sound_if(loss=own_softmax, targets=CLASSES)
def softmax_and_logarithm_by_hand() -> Built:
    return scores()


def one_against_all(scores: Tensor, classes: Tensor) -> Tensor:
    p, wanted = scores.sigmoid(), F.one_hot(classes, 6)
    return -(wanted * p.clamp(min=1e-8).log() + (1 - wanted) * (1 - p).clamp(min=1e-8).log()).mean()


@sound_if(loss=one_against_all, targets=CLASSES)
def sigmoids_of_one_against_all_by_hand() -> Built:
    return scores()


def weighted_residuals(residuals: Tensor, weights: Tensor) -> Tensor:
    """Of an equation: zero is what all of them should be, some more than others."""
    return (weights[:, None] * residuals.square()).mean()


@sound_if(loss=weighted_residuals, targets=torch.rand(96) + 0.1)
def weighted_residuals_of_an_equation() -> Built:
    return scores()


def largest_margin(scores: Tensor, classes: Tensor) -> Tensor:
    own = scores.gather(1, classes[:, None])
    return ((1 + scores - own).clamp(min=0) * (1 - F.one_hot(classes, 6))).sum(1).mean()


@sound_if(loss=largest_margin, targets=CLASSES)
def margin_over_the_other_classes() -> Built:
    return scores()
