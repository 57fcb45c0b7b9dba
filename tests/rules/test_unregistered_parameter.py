"""Which tensors ought to have been parameters, and which are only asked for a gradient on the way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health.check.api import check_gradients


class Gathering(nn.Module):
    """A sum of losses that begins at a tensor of the model, made to want a gradient at once or in forward."""

    def __init__(self, buffer: bool, early: bool) -> None:
        super().__init__()
        self.fc, self.late = nn.Linear(6, 6), not early
        zero = torch.zeros((), requires_grad=early)
        if buffer:
            self.register_buffer("zero", zero, persistent=False)
        else:
            self.zero = zero

    def forward(self, x: Tensor) -> Tensor:
        loss = self.zero
        if self.late:
            loss.requires_grad_()
        return loss + (self.fc(x) - x).pow(2).mean(1)


@pytest.mark.parametrize(("buffer", "early", "found"), [(True, False, False), (True, True, True), (False, True, True)])
def test_a_buffer_that_forward_asks_for_a_gradient_is_no_parameter(buffer: bool, early: bool, found: bool) -> None:
    model = Gathering(buffer, early)
    report = check_gradients(model, torch.randn(16, 6, generator=torch.Generator().manual_seed(0)))
    assert ("unregistered-parameter" in {finding.rule for finding in report.findings}) == found
    assert model.zero.requires_grad == early


class Sampled(nn.Module):
    """Weights that are drawn before each step, by a method of its own; or once and for all."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.mean, self.spread = nn.Parameter(0.3 * torch.randn(6, 6)), nn.Parameter(torch.full((6, 6), -3.0))
        if how == "set up":
            self.set_up()
        self.drawn = self.drawing()

    def drawing(self) -> Tensor:
        return self.mean + torch.randn(6, 6) * self.spread.exp()

    def set_up(self) -> None:
        self.drawn = self.drawing()

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.drawn.T


class Redrawn(Sampled):
    def draw(self) -> None:
        self.drawn = self.drawing()


class Moved(Sampled):
    def move(self) -> None:
        self.drawn = self.drawn.double()


@pytest.mark.parametrize(
    ("model", "how", "found"),
    [(Redrawn, "once", False), (Sampled, "set up", True), (Moved, "set up", True), (Redrawn, "set up", False)],
)
def test_what_a_method_computes_anew_between_steps_is_no_old_product(model: type[Sampled], how: str, found: bool) -> None:
    report = check_gradients(model(how), torch.randn(16, 6, generator=torch.Generator().manual_seed(0)))
    assert ("unregistered-parameter" in {finding.rule for finding in report.findings}) == found
    assert any("drawn as draw() makes it" in gap for gap in report.trace.gaps) != found
