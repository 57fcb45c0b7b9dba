"""Modules with a training step are called by it, as a trainer calls them."""

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


class Both(nn.Module):
    """A forward to predict, and a step that calls the module and holds the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return F.cross_entropy(self.scores(x), y)

    def scores(self, x: Tensor) -> Tensor:
        return self(x)


class Probabilities(Both):
    def scores(self, x: Tensor) -> Tensor:
        return self(x).softmax(-1)


class Backward(Both):
    """It does the work of its trainer, and gives the loss back only to be shown."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        loss.backward()
        return loss


class Attached(Both):
    """It needs what only a trainer has."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise RuntimeError("there is no trainer")


def test_the_step_is_run_where_the_module_has_a_forward_too() -> None:
    model = Both()
    report = check_gradients(model)
    assert report.ok and not report.trace.gaps
    assert report.trace.loss is not None and "fed to training_step" in report.trace.inputs.origin
    assert "forward" not in vars(model) and model(torch.randn(3, 12)).shape == (3, 5)


def test_what_is_wrong_between_forward_and_loss_is_found() -> None:
    for checked in (Probabilities, Probabilities()):
        (finding,) = check_gradients(checked).findings
        assert finding.rule == "double-softmax"


@pytest.mark.parametrize(
    ("model", "why"), [(Backward, "it goes backward itself"), (Attached, "RuntimeError: there is no trainer")]
)
def test_a_step_that_does_not_run_by_itself_is_named_and_forward_checked(model: type[nn.Module], why: str) -> None:
    report = check_gradients(model)
    assert report.ok and report.trace.loss is None
    (gap,) = report.trace.gaps
    assert gap.startswith(f"training_step: {why}; forward ran without a loss")


def test_what_is_given_decides_between_the_two() -> None:
    x, y = torch.randn(6, 12), torch.randint(5, (6,))
    for batch in (((x, y),), {"batch": (x, y)}):
        assert check_gradients(Both(), batch).trace.loss is not None
    for inputs in (x, (x,), {"x": x}):
        report = check_gradients(Both(), inputs)
        assert report.ok and report.trace.loss is None
        assert "training_step: the inputs are those of forward" in report.trace.gaps[0]
    report = check_gradients(Both(), x, loss=F.cross_entropy, targets=y)
    assert report.ok and report.trace.loss is not None and not report.trace.gaps
