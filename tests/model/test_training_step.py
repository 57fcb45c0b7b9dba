"""Modules without a forward are called by their training step, as a trainer calls them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradcheck_health import check_gradients
from gradcheck_health.model.training_step import as_forward
from gradcheck_health.records.errors import InputInferenceError


class Classifier(nn.Module):
    """As people write them for Lightning: everything happens in the step."""

    def __init__(self, dead: bool = False) -> None:
        super().__init__()
        self.net, self.head, self.dead = nn.Linear(12, 16), nn.Linear(16, 5), dead

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        hidden = torch.relu(self.net(x))
        return F.cross_entropy(self.head(hidden.detach() if self.dead else hidden), y)


class Named(nn.Module):
    """A batch with names, a loss among other values, no index."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 3)

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        scores = self.head(self.embed(batch["input_ids"]).mean(1))
        return {"loss": F.cross_entropy(scores, batch["labels"]), "scores": scores.detach()}


@pytest.mark.parametrize("model", [Classifier, Named])
def test_training_step_is_checked_with_a_batch_of_inputs_and_targets(model: type[nn.Module]) -> None:
    for checked in (model, model()):
        report = check_gradients(checked)
        assert report.ok
        assert "fed to training_step" in report.trace.inputs.origin
        assert all(parameter.gradient is not None for parameter in report.trace.parameters.values())


def test_what_is_wrong_in_the_step_is_found() -> None:
    report = check_gradients(Classifier(dead=True))
    (finding,) = report.findings
    assert finding.rule == "cut-gradient" and "net.weight" in {place.name for place in finding.places}


def test_given_batches_are_fed_and_the_model_comes_back() -> None:
    model = Classifier()
    before = dict(vars(model))
    report = check_gradients(model, ((torch.randn(6, 12), torch.randint(5, (6,))),))
    assert report.ok and vars(model) == before and "forward" not in vars(model)


def test_a_copy_takes_its_own_step() -> None:
    model = Classifier()
    batch = torch.randn(4, 12), torch.randint(5, (4,))
    with as_forward(model):
        other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.bias.copy_(torch.tensor([9.0, 0, 0, 0, 0]))
        assert not torch.equal(other(batch), model.training_step(batch, 0))
        assert torch.equal(other(batch), other.training_step(batch, 0))


def test_a_module_with_neither_is_reported_so() -> None:
    class Empty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(3, 2)

    with pytest.raises(InputInferenceError, match='missing the required "forward"'):
        check_gradients(Empty())
