"""Inputs for use on their own, what a check has fed, and arguments that are no tensors."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import InputsError, Report, check_gradients, make_inputs


def picture_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 10))


def test_made_inputs_run_and_can_be_drawn_again() -> None:
    model = picture_net()
    made = make_inputs(model, seed=3, batch_size=4)
    assert model(*made.args, **made.kwargs).shape == (4, 10)
    assert made.made_up and made.provenance[0].argument == "input"
    again, other = make_inputs(model, seed=3, batch_size=4), made.another(7)
    assert torch.equal(made.args[0], again.args[0])
    assert other.args[0].shape == made.args[0].shape and not torch.equal(other.args[0], made.args[0])


def test_given_arguments_are_completed() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(30, 8), nn.Linear(8, 2)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            out: Tensor = self.head(self.embed(ids) * mask.unsqueeze(-1))
            return out

    mask = torch.ones(5, 6)
    made = make_inputs(Masked(), {"mask": mask})
    ids, other = (*made.args, *made.kwargs.values())
    assert torch.equal(other, mask) and ids.shape == (5, 6)


def test_report_holds_what_was_fed_and_json_does_not() -> None:
    x = torch.randn(8, 3, 16, 16)
    report = check_gradients(picture_net(), x)
    assert report.inputs is not None and torch.equal(report.inputs.args[0], x)
    assert "inputs" not in report.to_dict()
    for copy in (Report.from_json(report.to_json()), pickle.loads(pickle.dumps(report))):
        assert copy == report and copy.inputs is None


class Letters(nn.Module):
    """Texts become letters, and letters numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(30, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, texts: Any) -> Tensor:
        ids = torch.tensor([[ord(letter) % 30 for letter in text.ljust(4)[:4]] for text in texts])
        out: Tensor = self.head(x + self.embed(ids).mean(1))
        return out


class Scaled(nn.Module):
    """Reads a number off an object, or a word."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Tensor, how: Any) -> Tensor:
        factor = {"twice": 2.0, "once": 1.0}[how] if isinstance(how, str) else how.factor
        out: Tensor = self.layer(x) * factor
        return out


class Factor:
    factor = 3.0


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (Letters, (torch.randn(2, 8), ["ab", "c"])),
        (Letters, {"x": torch.randn(2, 8), "texts": ("one", "two")}),
        (Scaled, (torch.randn(4, 8), "twice")),
        (Scaled, {"x": "f32[4,8]", "how": "once"}),
        (Scaled, (torch.randn(4, 8), Factor())),
        (Scaled, {"x": torch.randn(4, 8), "how": SimpleNamespace(factor=0.5)}),
    ],
)
def test_any_object_is_an_argument(model: Any, given: Any) -> None:
    report = check_gradients(model(), given)
    assert report.ok and report.inputs is not None and len((*report.inputs.args, *report.inputs.kwargs)) == 2


@pytest.mark.parametrize("text", ["f32[4,8", "f33[4,8]", "float32", "4, 8", "(f32[2], f32"])
def test_text_that_was_to_be_a_spec_is_refused(text: str) -> None:
    with pytest.raises(InputsError):
        check_gradients(nn.Linear(8, 3), {"input": text})
