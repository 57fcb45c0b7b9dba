"""Gradient health as a unit test: copy this file beside your own tests.

pytest finds the fixture `gradhealth` and the marker by itself once the package is installed.
"""

import pytest
import torch
from sick import Net as SickNet
from sound import Net

from gradcheck_health import UnhealthyGradientsError, assert_gradients_healthy, check_gradients


def test_gradients() -> None:
    assert_gradients_healthy(Net())  # the batch is made up from the first layer


def test_over_several_initialisations() -> None:
    assert_gradients_healthy(Net)  # a class or a function: the verdict does not hang on one lucky draw


def test_with_real_inputs_and_loss() -> None:
    batch, target = torch.randn(64, 16), torch.randint(10, (64,))
    assert_gradients_healthy(Net(), batch, loss=lambda out: torch.nn.functional.cross_entropy(out, target))


def test_by_fixture(gradhealth) -> None:  # knows the project's settings, fails in one clean message
    gradhealth(Net(depth=12))


@pytest.mark.gradhealth(
    ignore={"missing-gradient:aux.*": "the auxiliary head is trained in another script"}, select=["missing-gradient"]
)
def test_accepted_fault(gradhealth) -> None:
    gradhealth(SickNet())


def test_the_report_is_a_value() -> None:
    report = check_gradients(SickNet())
    assert not report.ok
    assert "missing-gradient" in {finding.rule for finding in report.findings}
    assert report.trace.parameters["aux.weight"].gradient is None


def test_error_carries_the_report() -> None:
    with pytest.raises(UnhealthyGradientsError, match="missing-gradient") as caught:
        assert_gradients_healthy(SickNet())
    assert caught.value.report.failures
