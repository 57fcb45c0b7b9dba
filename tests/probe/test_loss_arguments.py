"""What torch's losses refuse, said in words that help."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import ModelError, Severity, check_gradients


@pytest.mark.parametrize(
    ("outputs", "loss", "targets", "said"),
    [
        (1, nn.BCELoss(), torch.ones(16, 1), r"handed raw scores from -\S+ to \S+, and takes probabilities from 0 to 1"),
        (3, nn.CrossEntropyLoss(), torch.ones(16), r"handed class indices as float32, and takes integers: target.long\(\)"),
        (
            3,
            nn.CrossEntropyLoss(),
            torch.arange(16) % 3 + 1,
            r"handed a target from 1 to 3, and takes class indices from 0 to 2",
        ),
    ],
)
def test_an_error_of_a_loss_says_what_it_takes(outputs: int, loss: Any, targets: torch.Tensor, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        check_gradients(nn.Linear(4, outputs), torch.randn(16, 4), loss=loss, targets=targets)


def test_another_error_in_a_loss_is_left_as_it_is() -> None:
    def loss(out: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(out, torch.arange(16) % 3) + out.nonsense

    with pytest.raises(ModelError) as raised:
        check_gradients(nn.Linear(4, 3), torch.randn(16, 4), loss=loss)
    assert "is handed" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:reduction")  # torch warns, too
def test_a_mean_over_classes_is_a_note() -> None:
    def found(reduction: str) -> list[Severity]:
        loss = nn.KLDivLoss(reduction=reduction)
        model = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(-1))
        report = check_gradients(model, torch.randn(16, 4), loss=loss, targets=torch.rand(16, 3).softmax(-1))
        return [one.severity for one in report.findings if one.rule == "misread-loss"]

    assert found("mean") == [Severity.NOTE]
    assert found("batchmean") == []


@pytest.mark.parametrize(
    ("last", "classes", "said"),
    [
        (nn.ReLU(), torch.arange(32) % 3, "the result of a ReLU"),
        (nn.Identity(), torch.full((32,), 2), "one class only, 2"),
        (nn.Identity(), torch.arange(32) % 3, ""),
        (nn.Softplus(), torch.arange(32) % 3, ""),
    ],
    ids=["relu", "one class", "logits", "softplus"],
)
def test_what_is_seldom_wanted_of_a_classification_is_a_note(last: nn.Module, classes: torch.Tensor, said: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), last)
    report = check_gradients(model, torch.randn(32, 4), loss="CrossEntropyLoss", targets=classes)
    found = [(one.severity, said in one.message) for one in report.findings if one.rule == "misread-loss"]
    assert found == ([(Severity.NOTE, True)] if said else [])


def test_one_class_among_few_targets_is_chance() -> None:
    report = check_gradients(nn.Linear(4, 3), torch.randn(8, 4), loss="CrossEntropyLoss", targets=torch.zeros(8).long())
    assert [one.rule for one in report.findings if one.rule == "misread-loss"] == []


@pytest.mark.parametrize(
    ("last", "share", "told"),
    [
        (nn.ReLU(), 0.5, True),
        (nn.Softplus(), 0.5, True),
        (nn.ReLU(), 0.0, False),  # the few that are missing may be wrong labels
        (nn.Identity(), 0.5, False),
        (nn.LeakyReLU(), 0.5, False),
    ],
)
def test_logits_that_are_never_negative_cannot_say_no(last: nn.Module, share: float, told: bool) -> None:
    torch.manual_seed(0)
    targets = (torch.arange(32) >= 32 * share).float()[:, None]
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1), last)
    report = check_gradients(model, torch.randn(32, 4), loss="BCEWithLogitsLoss", targets=targets)
    found = [(one.severity, "whose sigmoid is a half or more" in one.message) for one in report.findings if "loss" in one.rule]
    assert found == ([(Severity.WARNING, True)] if told else [])
