"""What a person declares: expected findings, losses with targets, the optimizer, the batch axis; from every place alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_health import Report, check_gradients
from gradcheck_health.check.suppressions import accept
from gradcheck_health.formats import terminal
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.settings.from_options import sources
from gradcheck_health.settings.resolution import load, resolve
from gradcheck_health.settings.source import Source


def sigmoids(depth: int = 12) -> nn.Module:
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(32, 32), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Linear(32, 4))


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def errors(report: Report) -> list[str]:
    return [finding.rule for finding in report.active if finding.severity is Severity.ERROR]


FOUND = (
    Finding("dead-unit", Severity.ERROR, "dead", (Place("a.0"), Place("b"))),
    Finding("zero-gradient", Severity.NOTE, "zero", (Place("c"),)),
)


def test_expected_finding_that_is_there_is_accepted() -> None:
    found, unmatched = accept(
        FOUND, {}, ["dead-unit", "zero-gradient"], {"dead-unit": "since May", "zero-gradient:c": "by design"}
    )
    assert [finding.suppressed for finding in found] == ["since May", "by design"]
    assert unmatched == ()


def test_expected_finding_that_is_not_there_is_an_error_of_its_rule() -> None:
    found, unmatched = accept(FOUND, {}, ["dead-unit"], {"dead-unit:z*": "since May"})
    assert [(finding.rule, finding.severity, finding.suppressed) for finding in found[2:]] == [
        ("dead-unit", Severity.ERROR, None)
    ]
    assert "since May" in str(found[2].details)
    assert unmatched == (), "an entry of expect is told as a finding, not as an entry that matched nothing"


def test_expected_finding_of_a_rule_that_did_not_run_is_not_missed() -> None:
    found, _ = accept((), {}, ["dead-unit"], {"zero-gradient": "later"})
    assert found == []


def test_a_part_of_the_places_may_be_expected() -> None:
    found, _ = accept(FOUND[:1], {}, ["dead-unit"], {"dead-unit:a.*": "since May"})
    assert [finding.names for finding in found] == [("b",)]
    assert found[0].suppressed is None


@pytest.mark.slow
def test_check_fails_where_an_expected_finding_is_absent() -> None:
    sick, mended = (check_gradients(model, expect={"vanishing-gradient": "old"}, seed=0) for model in (sigmoids(), small()))
    assert sick.ok
    assert not mended.ok
    text = terminal.render(mended)
    assert "expected, and not found" in text
    assert "because of: old" in text
    assert "accept:" not in text, "what is absent cannot be accepted"


@pytest.mark.slow
def test_adam_is_declared_for_the_vanishing_rule() -> None:
    """8 sigmoids keep about 1e-6: too little for SGD, enough for Adam."""
    plain, adam = (check_gradients(sigmoids(8), optimizer=name, seed=0) for name in ("sgd", "adam"))
    assert plain.trace.flow[0].gradient < 1e-4 * plain.trace.flow[-1].gradient
    assert errors(plain) == ["vanishing-gradient"]
    assert errors(adam) == []


X = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.MSELoss, F.mse_loss, "MSELoss", "mse_loss", "torch.nn.functional:mse_loss"])
def test_loss_with_targets_is_the_loss_of_torch(loss: Any) -> None:
    model, targets = small(), torch.ones(6, 3)
    report = check_gradients(model, X, loss=loss, targets=targets, select=["missing-gradient"])
    assert report.trace.objective == "the given loss"
    assert report.trace.loss == pytest.approx(float((model(X).detach() - targets).square().mean()))


def test_loss_of_two_arguments_takes_targets_of_any_form() -> None:
    def loss(output: Tensor, targets: Tensor) -> Tensor:
        return (output.sum(1) - targets).square().mean()

    model = small()
    expected = float((model(X).detach().sum(1) - 2.0).square().mean())
    for targets in (torch.full((6,), 2.0), [2.0] * 6, 2.0, lambda output: torch.full((len(output),), 2.0)):
        report = check_gradients(model, X, loss=loss, targets=targets, select=["missing-gradient"])
        assert report.trace.loss == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(), F.cross_entropy, nn.BCEWithLogitsLoss(), nn.SoftMarginLoss(), nn.L1Loss()]
)
def test_targets_are_made_up_for_losses_of_torch(loss: Any) -> None:
    model = small()
    losses = [check_gradients(model, X, loss=loss, seed=seed).trace.loss for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2], "they depend on the seed alone"


def test_class_indices_follow_the_shape_of_the_output() -> None:
    """One of 7 classes a pixel: the loss of an untrained net is near log 7."""
    torch.manual_seed(0)
    report = check_gradients(nn.Conv2d(3, 7, 1), torch.randn(4, 3, 9, 9) / 10, loss=nn.CrossEntropyLoss())
    assert report.trace.loss == pytest.approx(1.9459, abs=0.2)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"targets": 3}, "targets= without loss="),
        ({"loss": lambda output, targets: output}, "takes 2 arguments: pass targets="),
        ({"loss": nn.CTCLoss()}, "takes 4 arguments"),
        ({"loss": "CrossEntropy"}, "did you mean 'CrossEntropyLoss'?"),
        ({"loss": "no.such:loss"}, "cannot be imported"),
        ({"loss": 3}, "loss= got an int"),
        ({"batch_axis": 7}, "batch_axis 7: no input has such an axis"),
        ({"optimizer": "lion"}, "allowed: 'sgd' or 'adam'"),
        ({"causal": "yes"}, "allowed: true or false"),
        ({"expect": {"dead-units": "x"}}, "did you mean 'dead-unit'?"),
        ({"expect": {"dead-unit": ""}}, "allowed: the reason"),
    ],
)
def test_what_cannot_be_right_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as error:
        check_gradients(small(), X, **settings)
    assert told in str(error.value)


@pytest.mark.parametrize(("axis", "batch"), [(0, 5), (1, 6), (-1, 8), (None, None), ("auto", 5)])
def test_batch_axis_is_the_declared_one(axis: Any, batch: int | None) -> None:
    report = check_gradients(nn.Linear(8, 2), torch.randn(5, 6, 8), batch_axis=axis)
    assert report.trace.inputs.batch == batch


def test_every_place_knows_the_same_declarations(tmp_path: Path) -> None:
    """The file, --set, and the marker (whose keywords become a source as they are) end in one `Config`."""
    (tmp_path / "gradhealth.yaml").write_text(
        "causal: true\nbatch-axis: none\noptimizer: adam\nloss: MSELoss\nexpect: {dead-unit: old}\n"
    )
    from_file = load(tmp_path)
    given = ["causal=true", "batch_axis=none", "optimizer=adam", "loss=MSELoss", "expect.dead-unit=old"]
    from_options = resolve(sources({"settings": given}))
    keywords = {"causal": True, "batch_axis": "none", "optimizer": "adam", "loss": "MSELoss", "expect": {"dead-unit": "old"}}
    from_marker = resolve([Source("marker", keywords)])
    for config in (from_file, from_options, from_marker):
        assert {key: getattr(config, key) for key in keywords} == keywords
