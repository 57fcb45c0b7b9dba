"""Made-up inputs whose rank or length is a guess raise no alarm about it."""

from __future__ import annotations

import pytest

from gradcheck_health import Severity, check_gradients
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
