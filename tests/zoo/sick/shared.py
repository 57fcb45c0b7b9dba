"""Sick encoders that are called several times side by side: the flow of each call dies, whatever joins them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick
from tests.zoo.sound.shared import Contrastive, Looped, Pooled, Refined, Siamese, stack


@sick("vanishing-gradient", "encoder")
def siamese_of_sigmoids() -> Built:
    return Siamese(stack(nn.Sigmoid, 12, 16)), (torch.randn(32, 16), torch.randn(32, 16))


@sick("vanishing-gradient", "encoder")
def two_views_of_sigmoids() -> Built:
    return Contrastive(stack(nn.Sigmoid, 12, 16)), (torch.randn(32, 16), torch.randn(32, 16))


@sick("vanishing-gradient", "encoder")
def views_of_sigmoids_in_a_loop() -> Built:
    return Pooled(nn.Sigmoid), torch.randn(16, 4, 3, 8, 8)


@sick("vanishing-gradient", "features")
def refined_features_of_sigmoids() -> Built:
    return Refined(stack(nn.Sigmoid, 10, 24)), (torch.randn(32, 24), torch.randn(32, 24))


class Margin(nn.Module):
    """Returns its own triplet loss."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = stack(nn.Sigmoid, 10, 12)

    def forward(self, anchor: Tensor, near: Tensor, far: Tensor) -> Tensor:
        a, p, n = (F.normalize(self.embed(x), dim=-1) for x in (anchor, near, far))
        loss: Tensor = F.triplet_margin_loss(a, p, n)
        return loss


@sick("vanishing-gradient", "embed")
def triplet_of_sigmoids() -> Built:
    return Margin(), tuple(torch.randn(32, 12) for _ in range(3))


@sick("vanishing-gradient", "layer", "function")
def one_layer_twenty_times() -> Built:
    """Nothing comes before the loop and nothing behind it: its calls are all the layers that there are."""
    return Looped(nn.Sigmoid(), 20), torch.randn(32, 32)


@sick("vanishing-gradient", "layer", "function")
def one_layer_of_small_weights_in_a_loop() -> Built:
    model = Looped(nn.Tanh(), 12)
    nn.init.orthogonal_(model.layer.weight, 0.1)
    return model, torch.randn(32, 32)


@sick("exploding-gradient", "layer", "function")
def one_layer_that_grows_in_a_loop() -> Built:
    model = Looped(nn.ReLU(), 20)
    nn.init.normal_(model.layer.weight)
    return model, torch.randn(32, 32)
