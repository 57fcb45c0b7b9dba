"""Made-up inputs whose rank or length is a guess raise no alarm about it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradcheck_health import Severity, check_gradients, make_inputs
from tests.zoo.entry import Sound
from tests.zoo.sound import SOUND

GUESSED = (
    "attention-pooling",
    "additive-attention",
    "recurrent-language-model",
    "long-convolution-by-fft",
    "state-kept-between-calls",
)


@pytest.mark.parametrize("entry", [pytest.param(one, id=one.name) for one in SOUND if one.name in GUESSED])
def test_sound_model_is_quiet_on_what_is_made_up_for_it(entry: Sound) -> None:
    model, _ = entry.build()
    report = check_gradients(model, **entry.settings)
    assert report.trace.inputs.made_up
    assert [finding for finding in report.active if finding.severity is not Severity.NOTE] == []


class Padded(nn.Module):
    """Frames become an image of one channel, padded in front of a convolution in a block of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(self.conv(functional.pad(image, (1, 1, 0, 2)).to(self.conv.weight.dtype)))


class Frames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = Padded(), nn.Linear(8, 4)

    def forward(self, mel: Tensor) -> Tensor:
        image = mel.unsqueeze(1)
        return self.head(self.block(image).mean(-1).transpose(1, 2))


def test_the_one_channel_that_forward_puts_in_is_not_a_length_of_one() -> None:
    batch = make_inputs(Frames(), seed=0)
    (mel,) = batch.args
    assert mel.dim() == 3
    assert min(mel.shape[1:]) > 1
