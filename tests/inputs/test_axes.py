"""How many axes an argument has, and which of them follow from which: steps, neighbours, patches, the images of a text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health.check.api import check_gradients
from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.search import trial
from tests.zoo.sick.losses import Summary
from tests.zoo.sound.relations import Cloud, Sinkhorn


def test_features_of_a_single_number_belong_to_steps() -> None:
    """`x.unsqueeze(2)` makes three axes of two."""
    (x,) = synthesize(Sinkhorn()).args
    assert x.dim() == 2 and x.shape[1] > 1
    assert not [finding for finding in check_gradients(Sinkhorn()).findings if finding.severity.value == "error"]


def test_a_model_that_is_said_to_be_causal_gets_steps() -> None:
    assert synthesize(Summary()).args[0].dim() == 2
    report = check_gradients(Summary(), causal=True)
    assert [finding.rule for finding in report.findings] == ["future-leak"]


def test_as_many_neighbours_as_are_asked_for() -> None:
    """The number of `topk` is no axis; no trial makes billions of entries on the way to it."""
    made: list[int] = []
    run = trial.TrialRunner.run

    def watched(self: trial.TrialRunner, plan: Any) -> Any:
        outcome = run(self, plan)
        made.append(outcome.elements)
        return outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial.TrialRunner, "run", watched)
        (points,) = synthesize(Cloud()).args
    assert points.shape[1] == 3 and points.shape[2] >= 5 and len(made) < 12


class Patches(nn.Module):
    """Cuts an image into patches and takes each for a row of numbers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.embed, self.head = channels, nn.Linear(channels * 64, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """x: images of shape (batch, channels, height, width)"""
        batch, channels, height, width = x.shape
        rows = x.view(batch, channels, height // 8, 8, width // 8, 8).permute(0, 2, 4, 3, 5, 1)
        return self.head(torch.relu(self.embed(rows.reshape(batch, -1, 64 * channels))).mean(1))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_follow_from_the_numbers_of_a_patch(channels: int) -> None:
    inputs = synthesize(Patches(channels))
    assert inputs.args[0].shape[1] == channels and inputs.trials <= 3


class Captions(nn.Module):
    """Texts with several images each, whose features take the places that a token of the text keeps for them."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.patch, self.head = nn.Embedding(40, 8), nn.Conv2d(3, 8, 16, 16), nn.Linear(8, 40)

    def forward(self, input_ids: Tensor, pixel_values: Tensor) -> Tensor:
        batch, images, channels, height, width = pixel_values.shape
        seen = self.patch(pixel_values.view(batch * images, channels, height, width)).flatten(2).mean(2)
        if images > input_ids.shape[1] // 2:
            raise ValueError("more images than the text has places for")
        text = self.words(input_ids)
        return self.head(text + seen.view(batch, images, -1).mean(1, keepdim=True))


def test_the_images_of_a_text_are_not_as_many_as_its_words() -> None:
    inputs = synthesize(Captions())
    ids, images = inputs.args
    assert images.dim() == 5 and images.shape[1] < ids.shape[1] and inputs.trials <= 3
    assert not check_gradients(Captions()).findings
