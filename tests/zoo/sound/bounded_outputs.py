"""Sound regressions whose last activation is bounded, with a loss of torch and nothing said of its targets."""

from __future__ import annotations

import torch
from torch import nn

from tests.zoo.entry import Built, sound_if


def pictures(last: nn.Module) -> Built:
    net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 32), nn.ReLU())
    return nn.Sequential(net, nn.Linear(32, 64), last), torch.rand(32, 64)


@sound_if(loss="mse_loss")
def autoencoder_that_ends_in_a_sigmoid() -> Built:
    return pictures(nn.Sigmoid())


@sound_if(loss="SmoothL1Loss")
def generator_that_ends_in_a_tanh() -> Built:
    return pictures(nn.Tanh())


@sound_if(loss="l1_loss")
def rates_that_end_in_a_softplus() -> Built:
    return pictures(nn.Softplus())


@sound_if(loss="huber_loss")
def shares_that_end_in_a_softmax() -> Built:
    return pictures(nn.Softmax(dim=-1))
