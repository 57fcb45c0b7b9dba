"""What a measured step reads of each parameter, beside the same numbers computed entry by entry."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import watch


class Mixed(nn.Module):
    """Weights that are sampled whole and in part, a table of embeddings, and one in half precision."""

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


def test_rows_that_the_batch_does_not_touch_do_not_count_in_the_step_of_an_embedding() -> None:
    torch.manual_seed(0)
    model = nn.Embedding(100, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with watch(model, optimizer, second_look=False) as health:
        model(torch.tensor([3, 5])).square().sum().backward()  # of the 16 rows that are sampled 14 have no gradient
        optimizer.step()
    assert health.history.tracks[0].moments[0].ratios == (pytest.approx(2.0),)  # w - 2 w
    assert health.history.tracks[0].moments[0].along == (pytest.approx(-1.0),)


def test_step_of_a_parameter_whose_memory_has_holes() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 6)
    model.weight = nn.Parameter(torch.randn(6, 8)[:, ::2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, second_look=False) as health:
        model(torch.randn(8, 4)).square().sum().backward()
        old = model.weight.detach().clone()
        optimizer.step()
    ratio = float((model.weight.detach() - old).norm() / old.norm())
    assert health.history.tracks[0].moments[0].ratios[0] == pytest.approx(ratio, rel=1e-5)


def test_rows_whose_squares_are_too_small_are_not_idle() -> None:
    """After ten steps of float32 squares that are 0 the rows are looked at again, by their sums."""
    torch.manual_seed(0)
    model = nn.Linear(4, 4, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with watch(model, optimizer, second_look=False, on_sick="log") as health:
        for _ in range(12):
            optimizer.zero_grad()
            (model(torch.rand(8, 4)).sum() * 1e-25).backward()
            optimizer.step()
    assert [one.idle_rows for one in health.history.tracks[0].moments[-2:]] == [(0,), (0,)]


@pytest.mark.filterwarnings("ignore:Using backward")
def test_graph_through_the_gradients_is_not_added_to() -> None:
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, second_look=False) as health:
        model(torch.randn(8, 4)).square().sum().backward(create_graph=True)
        optimizer.step()
    (moment,) = health.history.tracks[0].moments
    assert all(type(one) is float for one in moment.gradients)
    optimizer.zero_grad()


def test_steps_after_a_new_group_are_all_measured() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    model = nn.Sequential(first, second)
    optimizer = torch.optim.SGD(first.parameters(), lr=0.1)
    with watch(model, optimizer, every=10, dense=0, second_look=False, on_sick="log") as health:
        for k in range(40):
            if k == 14:
                optimizer.add_param_group({"params": list(second.parameters())})
            optimizer.zero_grad()
            model(torch.randn(8, 4)).square().sum().backward()
            optimizer.step()
    assert [one.step for one in health.history.tracks[0].moments] == [10, *range(16, 36), 40]
    assert len(health.history.tracks[0].parameters) == 4
