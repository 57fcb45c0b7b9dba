"""Sick models whose gradient dies or explodes on its way back through the steps of a sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick
from tests.zoo.sound.time import Decaying, GatedScan, SelectiveScan

VANISHING = "vanishing-through-time"
EXPLODING = "exploding-through-time"
FLOW = {
    "vanishing-gradient": "the way to the first layer leads through the steps",
    "exploding-gradient": "the way to the first layer leads through the steps",
}


class LastState(nn.Module):
    def __init__(self, rnn: nn.Module, width: int) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def series(steps: int = 40, width: int = 8) -> Tensor:
    return torch.randn(16, steps, width)


@sick(VANISHING, "rnn", also=FLOW)
def tiny_recurrent_weights() -> Built:
    rnn = nn.RNN(8, 32, batch_first=True)
    nn.init.normal_(rnn.weight_hh_l0, std=0.01)
    return LastState(rnn, 32), series()


@sick(VANISHING, "encoder", also=FLOW)
def forget_gates_shut() -> Built:
    """The slice of the forget gate was taken for the one of the output gate: a bias of -6."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.encoder = nn.Embedding(50, 16), nn.LSTM(16, 24, batch_first=True)
            self.head = nn.Linear(24, 2)
            self.encoder.bias_hh_l0.data[24:48] = -6.0

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(tokens))[1][0][-1])

    return Reader(), torch.randint(50, (16, 30))


class Unrolled(nn.Module):
    """A recurrence that is written out: the state goes through a function of two matrices."""

    def __init__(self, function: nn.Module, gain: float, width: int = 32) -> None:
        super().__init__()
        self.enter, self.recur = nn.Linear(8, width), nn.Linear(width, width)
        nn.init.normal_(self.recur.weight, std=gain / math.sqrt(width))
        self.function, self.head = function, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], self.recur.in_features)
        for step in x.unbind(1):
            h = self.function(self.enter(step) + self.recur(h))
        return self.head(h)


@sick(VANISHING, "recur", "", also=FLOW)
def sigmoid_on_the_state() -> Built:
    return Unrolled(nn.Sigmoid(), 1.0), series()


@sick(EXPLODING, "recur", "", also=FLOW)
def linear_recurrence_of_gain_two() -> Built:
    return Unrolled(nn.Identity(), 2.0), series()


@sick(EXPLODING, "recur", "", also=FLOW)
def relu_recurrence_of_large_weights() -> Built:
    return Unrolled(nn.ReLU(), 3.5), series()


class Cells(nn.Module):
    """GRU cells by hand, with an update gate that always takes the new state, and a tiny recurrent matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 24), nn.Linear(24, 3)
        self.cell.bias_ih.data[24:48] = -8.0
        self.cell.weight_hh.data.mul_(0.05)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 24)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.head(h)


@sick(VANISHING, "cell", "", also=FLOW)
def cells_that_keep_nothing() -> Built:
    return Cells(), series(32)


class RawParameters(nn.Module):
    """No module at all: two matrices, time first."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.w, self.u = nn.Parameter(0.3 * torch.randn(6, 20)), nn.Parameter(scale * torch.randn(20, 20) / 20**0.5)
        self.v = nn.Parameter(0.2 * torch.randn(20, 2))

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], 20)
        for t in range(x.shape[1]):
            h = x[:, t] @ self.w + torch.nn.functional.leaky_relu(h @ self.u)
        return h @ self.v


@sick(EXPLODING, "", also=FLOW)
def raw_matrices_that_grow() -> Built:
    return RawParameters(3.0), torch.randn(12, 28, 6)


@sick(VANISHING, "", also=FLOW)
def raw_matrices_that_shrink() -> Built:
    return RawParameters(0.05), torch.randn(12, 28, 6)


@sick(EXPLODING, "decoder", also=FLOW)
def relu_layer_of_unit_weights() -> Built:
    decoder = nn.RNN(8, 24, nonlinearity="relu")
    nn.init.normal_(decoder.weight_hh_l0, std=1.0)

    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder, self.head = decoder, nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.decoder(x.transpose(0, 1))[0][-1])

    return TimeFirst(), series(24)


@sick(VANISHING, "decay", "")
def scan_whose_decays_forget() -> Built:
    return Decaying(-3.0), series()


@sick(VANISHING, "")
def gates_of_a_scan_that_write_over_the_state() -> Built:
    """The sign of the bias is the wrong way round; all gates are computed at once, and no weight is used again."""
    return GatedScan(5.0), series()


@sick(VANISHING, "")
def selective_scan_of_large_steps() -> Built:
    """Step sizes of 3 to 6 where 0.001 to 0.1 were meant: exp(-4) a step."""
    return SelectiveScan(3.0, 6.0), series()
