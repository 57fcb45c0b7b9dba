"""Sound models whose loss, at the start, is what it should be, or cannot be held against that of a constant output."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound_if
from tests.zoo.sick.initial_loss import LABELS, Net, normal


@sound_if(loss="CrossEntropyLoss", targets=LABELS)
def head_of_zeros_under_a_loss() -> Built:
    net = Net(5)
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    return net, torch.randn(64, 12)


@sound_if(loss="MSELoss", targets=normal(64, 3))
def regression_on_unit_targets() -> Built:
    return Net(3), torch.randn(64, 12)


class Frames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(8, 24, batch_first=True), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.head(self.gru(x)[0]), -1)


def ctc_of(output: Tensor, labels: Tensor) -> Tensor:
    lengths = torch.full((len(output),), output.shape[1]), torch.full((len(output),), labels.shape[1])
    return F.ctc_loss(output.transpose(0, 1), labels, *lengths)


@sound_if(loss=ctc_of, targets=1 + torch.arange(48).reshape(8, 6) % 9)
def ctc_as_the_given_loss() -> Built:
    return Frames(), torch.randn(8, 24, 8)


@sound_if(loss=nn.CrossEntropyLoss(label_smoothing=0.1), targets=LABELS)
def label_smoothing() -> Built:
    return Net(5), torch.randn(64, 12)


@sound_if(loss="MSELoss", targets=0.5 * normal(64, 1))
def he_initialisation_to_the_last_layer() -> Built:
    net = Net(1)
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return net, torch.randn(64, 12)


@sound_if(loss="BCEWithLogitsLoss", targets=(torch.arange(256) % 128 == 0).float().unsqueeze(1))
def one_case_of_fraud_in_a_hundred() -> Built:
    return Net(1), torch.randn(256, 12)


@sound_if(loss=lambda output: output.square().mean())
def norm_of_the_output_as_a_loss() -> Built:
    return Net(3), torch.randn(64, 12)


@sound_if(loss=lambda output: F.softplus(-output).mean() - 0.5)
def loss_that_can_be_negative() -> Built:
    return Net(1), torch.randn(64, 12)


@sound_if(loss="NLLLoss", targets=LABELS)
def log_probabilities() -> Built:
    return nn.Sequential(Net(5), nn.LogSoftmax(1)), torch.randn(64, 12)


@sound_if(loss=lambda output: F.triplet_margin_loss(output, output.roll(1, 0), output.roll(2, 0)))
def triplets() -> Built:
    return Net(8), torch.randn(64, 12)
