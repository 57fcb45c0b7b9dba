"""A check in the middle of a training loop: graphs that wait for their backward pass, and buffers that join a graph."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients


class _Sigmoids(nn.Module):
    """So deep that its weights are moved before a verdict; `state` is written to in every forward."""

    def __init__(self, width: int, stateful: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(20))
        self.stateful = stateful
        self.register_buffer("state", torch.zeros(4, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        if self.stateful:
            self.state.copy_(x)
        return x


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 160], ids=["small", "large"])
def test_graph_that_waits_for_its_backward_pass_is_left_alone(width: int) -> None:
    """A check in the middle of a loop: weights that a further pass moves come back with the count of their changes."""
    model, x = _Sigmoids(width, stateful=False), torch.randn(4, width)
    loss = model(x).sum()
    versions = [parameter._version for parameter in model.parameters()]
    report = check_gradients(model, torch.randn(4, width), rounds=2)
    assert not report.ok, "or no weight was moved"
    assert [parameter._version for parameter in model.parameters()] == versions
    loss.backward()


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 160], ids=["small", "large"])
def test_buffer_that_forward_writes_into_the_graph_is_a_leaf_again(width: int) -> None:
    model = _Sigmoids(width, stateful=True)
    check_gradients(model, torch.randn(4, width), rounds=1)
    assert model.state.is_leaf and not model.state.requires_grad
    copy.deepcopy(model)
