"""What a measured step reads of each parameter, beside the same numbers computed entry by entry."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import watch


class Mixed(nn.Module):
    """Weights of one line of the sample, of two, of none that is full, a table of embeddings, and one in half precision."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(40, 96)
        self.enter, self.wide, self.head = nn.Linear(96, 5), nn.Linear(5, 33), nn.Linear(33, 31)
        self.coarse = nn.Parameter(torch.randn(33, 33, dtype=torch.bfloat16))
        self.unused = nn.Parameter(torch.ones(7))

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.wide(self.enter(self.table(tokens).mean(1)))
        return self.head((h.bfloat16() @ self.coarse).float())


@pytest.mark.parametrize("autocast", [False, True])
def test_numbers_of_a_step_are_those_of_every_entry(autocast: bool) -> None:
    model = Mixed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tokens = torch.arange(16).reshape(8, 2)  # as many rows of the table as the sample holds
    with watch(model, optimizer, second_look=False) as health, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model(tokens).square().sum().backward()
        old = {name: p.detach().clone().double() for name, p in model.named_parameters()}
        gradients = {name: p.grad for name, p in model.named_parameters()}
        optimizer.step()
    (track,) = health.history.tracks
    (moment,) = track.moments
    by_name = {row.name: i for i, row in enumerate(track.parameters)}
    for name, p in model.named_parameters():
        i, w, dw = by_name[name], old[name], p.detach().double() - old[name]
        gradient = gradients[name]
        if gradient is None:
            assert moment.gradients[i] is None and moment.ratios[i] is None
            continue
        assert moment.gradients[i] == pytest.approx(float(gradient.double().norm()), rel=1e-2 if p.dtype.itemsize < 4 else 1e-5)
        touched = gradient.double().flatten(1).norm(dim=1) > 0 if name == "table.weight" else slice(None)
        if p.numel() <= 512 or name == "table.weight":  # every entry is in the sample
            assert moment.ratios[i] == pytest.approx(float(dw[touched].norm() / w[touched].norm()), rel=1e-4), name
            cosine = float((dw[touched] * w[touched]).sum() / (dw[touched].norm() * w[touched].norm()))
            assert moment.along[i] == pytest.approx(cosine, abs=1e-4), name
        else:
            assert moment.ratios[i] == pytest.approx(float(dw.norm() / w.norm()), rel=0.2), name
    assert moment.still[by_name["coarse"]] is not None and math.isfinite(moment.weight)


def test_parameters_of_two_optimizers_that_act_as_one_keep_their_order() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    optimizers = [torch.optim.SGD([p], lr=0.1 * (i + 1)) for i, p in enumerate(model.parameters())]
    with watch(model, optimizers, second_look=False) as health:
        model(torch.randn(8, 4)).square().mean().backward()
        old = [p.detach().clone() for p in model.parameters()]
        for one in optimizers:
            one.step()
    (track,) = health.history.tracks
    assert [row.name for row in track.parameters] == [name for name, _ in model.named_parameters()]
    expected = [float((p.detach() - w).norm() / w.norm()) for p, w in zip(model.parameters(), old, strict=True)]
    assert list(track.moments[0].ratios) == pytest.approx(expected, rel=1e-4)
