"""Sound recurrences, and weights that are used again and again without being one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Minimal(nn.Module):
    """h + a f(h, x), written out: the state is kept."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.enter, self.recur, self.head = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], self.recur.in_features)
        for step in x.unbind(1):
            h = h + 0.2 * torch.tanh(self.enter(step) + self.recur(h))
        return self.head(h)


@sound
def residual_recurrence() -> Built:
    return Minimal(), torch.randn(16, 50, 8)


class Truncated(nn.Module):
    """The state is detached every ten steps: truncated backpropagation."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(8, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        h, c = torch.zeros(x.shape[0], 24), torch.zeros(x.shape[0], 24)
        for t in range(x.shape[1]):
            if t and t % 10 == 0:
                h, c = h.detach(), c.detach()
            h, c = self.cell(x[:, t], (h, c))
        return self.head(h)


@sound
def truncated_backpropagation() -> Built:
    return Truncated(), torch.randn(16, 35, 8)


class Shared(nn.Module):
    """One block eight times (ALBERT), on as many tokens."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 64), nn.Linear(64, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(8):
            x = x + self.down(torch.relu(self.up(self.norm(x))))
        return self.head(x)


@sound
def one_block_eight_times() -> Built:
    return Shared(), torch.randn(16, 8, 32)


class Identity(nn.Module):
    """IRNN: ReLU with the identity as recurrent matrix."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(4, width, nonlinearity="relu", batch_first=True), nn.Linear(width, 2)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)
        nn.init.zeros_(self.rnn.bias_ih_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


@sound
def identity_recurrence() -> Built:
    return Identity(), torch.randn(16, 40, 4)


@sound
def long_sequence_through_a_default_lstm() -> Built:
    """0.6 a step: 200 steps back nothing is left, and every text classifier of the kind trains."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.lstm = nn.Embedding(60, 16), nn.LSTM(16, 32, batch_first=True)
            self.head = nn.Linear(32, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.lstm(self.embed(tokens))[0][:, -1])

    return Reader(), torch.randint(60, (8, 200))


class Oscillators(nn.Module):
    """A rotation a step (unitary): nothing is lost, nothing grows."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.angles, self.enter, self.head = (
            nn.Parameter(torch.rand(width) * math.pi),
            nn.Linear(5, width),
            nn.Linear(2 * width, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        turn = torch.polar(torch.full_like(self.angles, 0.99), self.angles)
        h = torch.zeros(x.shape[0], len(self.angles), dtype=torch.complex64)
        for step in x.unbind(1):
            h = turn * h + self.enter(step)
        return self.head(torch.view_as_real(h).flatten(1))


@sound
def rotations_through_time() -> Built:
    return Oscillators(), torch.randn(16, 60, 5)


class CellLoop(nn.Module):
    """A cell by hand over more steps than it remembers, as most recurrences forget."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 16)
        for step in x.unbind(1):
            h = self.cell(step, h)
        out: Tensor = self.head(h)
        return out


@sound
def gru_cell_over_many_steps() -> Built:
    return CellLoop(nn.GRUCell(8, 16)), torch.randn(16, 24, 8)


@sound
def tanh_cell_over_many_steps() -> Built:
    return CellLoop(nn.RNNCell(8, 16)), torch.randn(16, 24, 8)


class Streamed(nn.Module):
    """A state carried from step to step that learns from its own step alone, as online training does it, or from a few."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.cell, self.head, self.every = nn.GRUCell(8, 16), nn.Linear(16, 4), every

    def forward(self, x: Tensor) -> Tensor:
        h, found = x.new_zeros(len(x), 16), []
        for t, step in enumerate(x.unbind(1)):
            if t % self.every == 0:
                h = h.detach()
            h = self.cell(step, h)
            found.append(self.head(h))
        return torch.stack(found, 1)


@sound
def state_detached_at_every_step() -> Built:
    return Streamed(1), torch.randn(16, 12, 8)


@sound
def state_detached_every_four_steps() -> Built:
    return Streamed(4), torch.randn(16, 12, 8)


class Decaying(nn.Module):
    """A leaky average of what was seen, with a decay for each unit."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(8, 32), nn.Linear(32, 2)
        self.decay = nn.Parameter(torch.full((32,), logit))

    def forward(self, x: Tensor) -> Tensor:
        seen, kept = self.embed(x), torch.sigmoid(self.decay)
        h = torch.zeros(len(x), 32)
        for t in range(x.shape[1]):
            h = kept * h + (1 - kept) * seen[:, t]
        return self.head(h)


@sound
def scan_of_long_memory() -> Built:
    return Decaying(3.5), torch.randn(16, 40, 8)


class GatedScan(nn.Module):
    """The minimal GRU (Feng et al. 2024): gates and candidates depend on the input alone."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        self.gate, self.candidate, self.head = nn.Linear(8, 32), nn.Linear(8, 32), nn.Linear(32, 2)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        z, candidate = torch.sigmoid(self.gate(x)), self.candidate(x)
        h = torch.zeros_like(candidate[:, 0])
        for t in range(x.shape[1]):
            h = (1 - z[:, t]) * h + z[:, t] * candidate[:, t]
        return self.head(h)


@sound
def gated_scan() -> Built:
    return GatedScan(), torch.randn(16, 30, 8)


class SelectiveScan(nn.Module):
    """A selective state space (Gu and Dao 2023), step by step, with the step sizes that it starts from."""

    def __init__(self, smallest: float = 0.001, largest: float = 0.1, width: int = 32) -> None:
        super().__init__()
        self.enter, self.step, self.leave = nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 4)
        self.write, self.read = nn.Linear(width, 8), nn.Linear(width, 8)
        self.log_decay = nn.Parameter(torch.arange(1.0, 9.0).log().repeat(width, 1))
        steps = torch.exp(torch.empty(width).uniform_(math.log(smallest), math.log(largest)))
        with torch.no_grad():
            self.step.bias.copy_(steps + torch.log(-torch.expm1(-steps)))
            self.step.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        u = self.enter(x)
        step = nn.functional.softplus(self.step(u))[..., None]
        decays, written = torch.exp(-step * self.log_decay.exp()), step * self.write(u)[:, :, None] * u[..., None]
        h, out = torch.zeros_like(written[:, 0]), []
        for decay, new, read in zip(decays.unbind(1), written.unbind(1), self.read(u).unbind(1), strict=True):
            h = decay * h + new
            out.append((h * read[:, None]).sum(-1))
        return self.leave(torch.stack(out, 1))


@sound
def selective_scan() -> Built:
    return SelectiveScan(), torch.randn(8, 30, 8)


class Leaky(nn.Module):
    """Neurons that leak and fire (softly), with a short memory by design."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        current = self.enter(x)
        voltage = fired = torch.zeros_like(current[:, 0])
        for t in range(x.shape[1]):
            voltage = 0.5 * voltage + current[:, t]
            fired = fired + torch.sigmoid(4 * (voltage - 1))
        return self.head(fired / x.shape[1])


@sound
def leaky_neurons() -> Built:
    return Leaky(), torch.randn(16, 25, 8)


class Each(nn.Module):
    """One layer for each step, no weight twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(8, 32), nn.Linear(32, 3)
        self.stages = nn.ModuleList(nn.Linear(32, 32) for _ in range(10))

    def forward(self, x: Tensor) -> Tensor:
        seen, h = self.embed(x), torch.zeros(len(x), 32)
        for t, stage in enumerate(self.stages):
            h = torch.tanh(stage(seen[:, t] + h))
        return self.head(h)


@sound
def a_layer_for_each_step() -> Built:
    return Each(), torch.randn(16, 10, 8)
