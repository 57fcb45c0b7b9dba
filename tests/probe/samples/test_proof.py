"""Where forward is said to keep samples apart, no sample moves another: on random modules, and on those that cheat."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from gradcheck_health import check_gradients
from tests.probe.samples.programs import SAMPLES, SHAPES, STEPS, Program
from tests.probe.samples.verdicts import of_samples

Steps = list[tuple[str, int]]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 47)), min_size=1, max_size=6), st.sampled_from(SHAPES))
def test_proof_agrees_with_the_measurement_on_random_modules(steps: Steps, shape: tuple[int, ...]) -> None:
    proven, moves = of_samples(Program(steps, shape), shape)
    assert not (proven and moves)


class Plain(nn.Module):
    """What most networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.memory = nn.LSTM(8, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = self.layer(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        out: torch.Tensor = self.head(self.memory(x)[0][:, 0])
        return out


class Windows(nn.Module):
    """Attention inside of windows, which lie behind one another in the axis of the samples."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(3, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        x = (
            torch.roll(x, shifts=(1, 1), dims=(2, 3))
            .view(b, c, h // 2, 2, w // 2, 2)
            .permute(0, 2, 4, 3, 5, 1)
            .reshape(-1, 4, c)
        )
        q, k, v = self.qkv(x).reshape(-1, 4, 3, 2, 2).permute(2, 0, 3, 1, 4)
        out: torch.Tensor = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(b, -1, 4)
        return out.mean(1)


class DropPath(nn.Module):
    """Leaves early in eval mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return x * torch.empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(0.9)


class Decoder(nn.Module):
    """Steps shifted by one, entries that are looked up, the last place of each sample, and scores with something added."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop, self.layerdrop = nn.Linear(16, 8), DropPath(), 0.0
        self.register_buffer("bias", torch.arange(3.0))
        self.hidden = nn.Parameter(torch.randn(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2)
        if self.training:
            x.requires_grad = True
        if self.training and self.layerdrop > 0.0 and torch.rand([]) < self.layerdrop:
            x = x - x.mean(0)
        x = x.index_select(1, torch.arange(x.shape[1]))
        shifted = torch.zeros_like(x)
        shifted[:, 1:] = x[:, :-1]
        shifted[:, 0] = 1.0
        if self.layerdrop < 1.0 and self.training:  # as an audio encoder hides some steps
            hidden = torch.zeros(shifted.shape[1], dtype=torch.bool)
            shifted[:, hidden] = self.hidden
        h = self.drop(self.layer(shifted))
        weights = torch.baddbmm(self.bias, batch1=h, batch2=h.transpose(1, 2), alpha=0.1).softmax(-1)
        best = weights.argmax(-1)
        h = (weights @ h).gather(1, best[..., None].expand_as(h)) + F.one_hot(best, 8)
        out: torch.Tensor = h[torch.arange(len(h)), best[:, -1]]
        return out


IMAGES = (SAMPLES, 3, 4, 4)


@pytest.mark.parametrize("build", [Plain, Windows, Decoder])
@pytest.mark.parametrize("training", [True, False])
def test_usual_operations_are_followed(build: type[nn.Module], training: bool) -> None:
    torch.manual_seed(0)
    assert of_samples(build().train(training), IMAGES) == (True, False)
    report = check_gradients(build().train(training), torch.randn(*IMAGES), select=["mixed-samples"])
    assert report.trace.apart and "mixing" not in report.trace.facts and not report.findings


class Joining(nn.Module):
    """x - c * mean over the samples, in a way that is hard to see."""

    def __init__(self, way: Any) -> None:
        super().__init__()
        self.layer, self.way = nn.Linear(4, 4), way
        self.register_buffer("mean", torch.zeros(4))
        self.total, self.rate = torch.zeros(4), 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.way(self, self.layer(x))
        return out


class Filled(torch.autograd.Function):
    """Writes into a tensor that it was handed, unseen."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, into: torch.Tensor) -> torch.Tensor:
        into.copy_(x.mean(0))
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return gradients[0], None


def _through_a_buffer(self: Joining, x: torch.Tensor) -> torch.Tensor:
    Filled.apply(x, self.mean)
    return x - self.mean


def _through_an_attribute(self: Joining, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        self.total[:] = x.mean(0)
    return x - self.total


def _through_a_view(self: Joining, x: torch.Tensor) -> torch.Tensor:
    y = x * 1
    y.view(-1)[:] = (x - x.mean(0)).view(-1)
    return y


def _minus_mean(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean(0)


def _minus_mean_in_place(x: torch.Tensor) -> None:
    x.sub_(x.mean(0))


def _scripted(self: Joining, x: torch.Tensor) -> torch.Tensor:
    return torch.jit.script(_minus_mean)(x)  # type: ignore[no-any-return]


def _scripted_in_place(self: Joining, x: torch.Tensor) -> torch.Tensor:
    y = x * 1
    torch.jit.script(_minus_mean_in_place)(y)
    return y


def _in_eval_mode(self: Joining, x: torch.Tensor) -> torch.Tensor:
    return x * 1 if self.training else x - x.mean(0)


def _by_an_axis(self: Joining, x: torch.Tensor) -> torch.Tensor:
    axis = 1 if self.training else 0
    return x.softmax(axis)


def _by_a_rate(self: Joining, x: torch.Tensor) -> torch.Tensor:
    if self.training and self.rate > 0.0:
        return x * 1
    return x - x.mean(0) if self.rate else x * 2


def _by_the_rate_of_another(self: Joining, x: torch.Tensor) -> torch.Tensor:
    other = nn.Dropout(0.0)
    return x * 1 if self.training and not other.p > 0 else x - x.mean(0)


def _own_dropout(x: torch.Tensor, training: bool) -> torch.Tensor:
    return x * 1 if training else x - x.mean(0)


def _by_an_argument(self: Joining, x: torch.Tensor) -> torch.Tensor:
    return _own_dropout(x, training=self.training)


def _along_the_last_axis(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    out = x.softmax(-1)
    return out if out.shape == like.shape else out.transpose(0, 1)


def _by_a_list_that_training_fills(self: Joining, x: torch.Tensor) -> torch.Tensor:
    parts = [x.transpose(0, 1)]
    if self.training:
        parts[0] = x * 1
    return _along_the_last_axis(parts[0], x)


def _by_a_name_that_training_sets(self: Joining, x: torch.Tensor) -> torch.Tensor:
    y, part = x * 1, x.transpose(0, 1)
    if self.training:
        part = x * 1
        y[:, 0] = 0.0
    return y + _along_the_last_axis(part, x)


def _by_a_name_of_the_next_round(self: Joining, x: torch.Tensor) -> torch.Tensor:
    y, part = x * 1, x.transpose(0, 1)
    for again in (False, True):
        y = y + _along_the_last_axis(part, x) if again else y
        if self.training:
            part = x * 1
            y[:, 0] = 0.0
    return y


WAYS = {
    "a buffer": _through_a_buffer,
    "an attribute": _through_an_attribute,
    "a view": _through_a_view,
    "a script": _scripted,
    "a script in place": _scripted_in_place,
    "a number": lambda self, x: x - x.mean().item(),
    "a list": lambda self, x: x - torch.tensor(x.mean(0).tolist()),
    "an array": lambda self, x: x - torch.from_numpy(x.detach().numpy().mean(0)),
    "memory": lambda self, x: x - torch.frombuffer(bytearray(x.detach().contiguous().numpy().tobytes()), dtype=x.dtype).mean(),
    "eval mode": _in_eval_mode,
    "an axis of eval mode": _by_an_axis,
    "an argument of eval mode": _by_an_argument,
    "a list that training fills": _by_a_list_that_training_fills,
    "a name that training sets": _by_a_name_that_training_sets,
    "a name of the next round": _by_a_name_of_the_next_round,
    "a rate": _by_a_rate,
    "the rate of another": _by_the_rate_of_another,
    "flipping two axes": lambda self, x: x + x.flip(1, 0),
    "a sort of indices": lambda self, x: x[x[:, 0].argsort()],
    "data": lambda self, x: x - x.data.mean(0),
    "a transpose by attribute": lambda self, x: x.T.softmax(-1).T,
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_proven_of_what_joins_samples(way: str) -> None:
    torch.manual_seed(0)
    assert of_samples(Joining(WAYS[way]), (SAMPLES, 4)) == (False, True)


def test_nothing_hangs_on_modules_afterwards() -> None:
    """The way by which reading `training` is noticed goes again, also where forward raises."""

    def fails(self: Joining, x: torch.Tensor) -> torch.Tensor:
        assert "training" in vars(nn.Module) and self.training and not hasattr(self, "nothing")
        self.train(False).train(True)
        raise RuntimeError("on purpose")

    with pytest.raises(Exception, match="on purpose"):
        of_samples(Joining(fails), (SAMPLES, 4))
    assert "training" not in vars(nn.Module)
