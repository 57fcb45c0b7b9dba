"""A run whose output is empty tells nothing: inputs are made larger, and given ones that are too small are refused."""

from __future__ import annotations

import pytest
import torch

from gradcheck_health import check_gradients
from gradcheck_health.inputs import synthesize
from gradcheck_health.records.errors import GradhealthError
from tests.zoo.sound.kept_aside import Cropped, Margins


@pytest.mark.parametrize(("model", "least"), [(Cropped, 201), (Margins, 181)])
def test_a_crop_leaves_something_of_what_is_made_up(model: type[Cropped], least: int) -> None:
    (x,) = synthesize(model()).args
    assert x.shape[2] >= least and model()(x).numel()


def test_given_inputs_of_which_nothing_is_left_are_refused() -> None:
    with pytest.raises(GradhealthError, match=r"the output is empty, of shape \[4, 0, 3\]"):
        check_gradients(Cropped(), torch.randn(4, 4, 64))
