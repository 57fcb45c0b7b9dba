"""States that come as arguments of their own: one by one, in pairs, of cells and of layers."""

from __future__ import annotations

import torch
from torch import nn


class ThreeArguments(nn.Module):
    FED = ("f B T 8", "f 2 B 16", "f 2 B 16")

    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(8, 16, 2, batch_first=True), nn.Linear(16, 3)

    def forward(self, x, h0, c0):
        return self.fc(self.lstm(x, (h0, c0))[0][:, -1])


class ShortNames(ThreeArguments):
    def forward(self, x, h, c):
        return self.fc(self.lstm(x, (h, c))[0][:, -1])


class SpeltOut(ThreeArguments):
    def forward(self, x, hidden, cell):
        out, (hidden, cell) = self.lstm(x, (hidden, cell))
        return self.fc(out[:, -1]), hidden, cell


class BothWaysTimeFirst(nn.Module):
    FED = ("f T B 6", "f 4 B 5", "f 4 B 5")

    def __init__(self):
        super().__init__()
        self.enter, self.rnn = nn.Linear(6, 7), nn.LSTM(7, 5, 2, bidirectional=True)
        self.out = nn.Linear(10, 2)

    def forward(self, x, prev_h, prev_c):
        out, state = self.rnn(self.enter(x).relu(), (prev_h, prev_c))
        return self.out(out), state


class Projected(nn.Module):
    FED = ("f B T 6", "f 1 B 4", "f 1 B 9")

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 9, proj_size=4, batch_first=True)

    def forward(self, frames, hx, cx):
        return self.rnn(frames, (hx, cx))


class AtariCell(nn.Module):
    """An actor-critic on frames, whose cell keeps its state outside."""

    FED = ("f B 1 H W", "f B 32", "f B 32")

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.cell = nn.LSTMCell(8 * 10 * 10, 32)
        self.actor, self.critic = nn.Linear(32, 4), nn.Linear(32, 1)

    def forward(self, obs, hx, cx):
        x = self.conv2(self.conv1(obs).relu()).relu().flatten(1)
        hx, cx = self.cell(x, (hx, cx))
        return self.actor(hx), self.critic(hx), hx, cx


class Stacked(nn.Module):
    """Two gated cells one upon the other."""

    FED = ("f B 5", "f B 7", "f B 9")

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.GRUCell(5, 7), nn.GRUCell(7, 9)

    def forward(self, x, h1, h2):
        h1 = self.low(x, h1)
        return self.high(h1, h2), h1


class Handmade(nn.Module):
    """The classic lesson: input and hidden side by side."""

    FED = ("f B 10", "f B 6")

    def __init__(self, inputs=10, hidden=6, outputs=3):
        super().__init__()
        self.hidden_size = hidden
        self.i2h, self.i2o = nn.Linear(inputs + hidden, hidden), nn.Linear(inputs + hidden, outputs)

    def forward(self, input, hidden):
        both = torch.cat((input, hidden), 1)
        return self.i2o(both), torch.tanh(self.i2h(both))


class HandmadeSteps(nn.Module):
    """Steps first, the state beside them."""

    FED = ("f T B 10", "f B 6")

    def __init__(self, inputs=10, hidden=6, outputs=3):
        super().__init__()
        self.i2h, self.h2o = nn.Linear(inputs + hidden, hidden), nn.Linear(hidden, outputs)

    def forward(self, x, h0):
        """x: (seq_len, batch_size, input_size), h0: (batch_size, hidden_size)"""
        out = []
        for t in range(x.size(0)):
            h0 = torch.tanh(self.i2h(torch.cat((x[t], h0), 1)))
            out.append(self.h2o(h0))
        return torch.stack(out)


class HandmadeLong(nn.Module):
    """A cell by hand with gates: what it remembers is added, what it shows is put beside the input."""

    FED = ("f B 5", "f B 8", "f B 8")

    def __init__(self):
        super().__init__()
        self.gates = nn.Linear(5 + 8, 32)

    def forward(self, x, h, c):
        i, f, g, o = self.gates(torch.cat([h, x], dim=-1)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class HandmadeConv(nn.Module):
    """The same on maps."""

    FED = ("f B 3 H W", "f B 8 H W", "f B 8 H W")

    def __init__(self, channels=3, hidden=8):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, 3, padding=1)

    def forward(self, x, h, c):
        i, f, g, o = self.gates(torch.cat([x, h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class GatedConv(nn.Module):
    """A gated unit on maps, as in refinement of flow."""

    FED = ("f B 6 H W", "f B 10 H W")

    def __init__(self, hidden=6, inputs=10):
        super().__init__()
        self.z, self.r, self.q = (nn.Conv2d(hidden + inputs, hidden, 3, padding=1) for _ in range(3))

    def forward(self, h, x):
        both = torch.cat([h, x], dim=1)
        z, r = self.z(both).sigmoid(), self.r(both).sigmoid()
        return (1 - z) * h + z * self.q(torch.cat([r * h, x], 1)).tanh()


class NumberedPair(nn.Module):
    """A cell by hand that gets both states as one argument, and takes them apart by their numbers."""

    FED = ("f B 5", "f B 8", "f B 8")

    def __init__(self):
        super().__init__()
        self.enter, self.stay = nn.Parameter(torch.randn(5, 32) * 0.3), nn.Parameter(torch.randn(8, 32) * 0.3)

    def forward(self, x, hidden):
        h, c = hidden[0], hidden[1]
        i, f, g, o = (x @ self.enter + h @ self.stay).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class NumberedAndHandedOn(nn.Module):
    """A layer that looks at both states and then hands them on."""

    FED = ("f B 5", "f B 8", "f B 8")

    def __init__(self):
        super().__init__()
        self.cell, self.weigh = NumberedPair(), nn.Linear(8, 5)

    def forward(self, x, state):
        x = x * self.weigh(state[0] + state[1]).sigmoid()
        out, state = self.cell(x, state)
        return out, state


class HintInAComment(nn.Module):
    """Types as TorchScript reads them; what takes the states apart is called from here."""

    FED = ("f B 5", "f B 8", "f B 8")

    def __init__(self):
        super().__init__()
        self.cell = NumberedPair()

    def forward(self, x, carried):
        # type: (Tensor, Tuple[Tensor, Tensor]) -> Tensor
        out, c = self.cell(x, carried)
        return out + c


class Unseen(nn.Module):
    """Its loop over the steps runs where nothing can be seen of it, as a scripted one does."""

    FED = ("f B T 8",)

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8) / 4)

    def forward(self, x):
        state = x.new_zeros(len(x), 8)
        with torch._C.DisableTorchFunction():
            for t in range(x.size(1)):
                state = 0.5 * state + x[:, t] @ self.weight
        return state


class Hidden(nn.Module):
    """What its mask marks with zero is hidden, where torch hides what is marked; its heads are taken apart by their sizes."""

    FED = ("f B T 16", "f B T 16", "f B T 16", "m T T")

    def __init__(self):
        super().__init__()
        self.key, self.query, self.value, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(16, 16)

    def forward(self, values, keys, queries, trg_mask):
        samples, steps, seen = queries.shape[0], queries.shape[1], keys.shape[1]
        k = self.key(keys.reshape(samples, seen, 4, 4))
        q = self.query(queries.reshape(samples, steps, 4, 4))
        v = self.value(values.reshape(samples, values.shape[1], 4, 4))
        scores = torch.einsum("nqhd,nkhd->nhqk", q, k).masked_fill(trg_mask == 0, -1e9)
        return self.out(torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), v).reshape(samples, steps, 16))


class AttentiveCell(nn.Module):
    """A hand-written cell that weighs all steps by its two states before it takes one more."""

    FED = ("f B T 9", "f B 12", "f B 12")

    def __init__(self):
        super().__init__()
        self.hidden_size = 12
        self.score, self.gates = nn.Sequential(nn.Linear(9 + 2 * 12, 8), nn.Tanh(), nn.Linear(8, 1)), nn.Linear(9 + 12, 4 * 12)

    def forward(self, x, hidden):
        hx, cx = hidden[0], hidden[1]
        outs = []
        for _ in range(x.shape[1]):
            every = torch.cat((x, hx[:, None].expand(-1, x.shape[1], -1), cx[:, None].expand(-1, x.shape[1], -1)), -1)
            read = (self.score(every).softmax(1) * x).sum(1)
            i, f, g, o = self.gates(torch.cat((read, hx), 1)).chunk(4, 1)
            cx = f.sigmoid() * cx + i.sigmoid() * g.tanh()
            hx = o.sigmoid() * cx.tanh()
            outs.append(hx)
        return torch.stack(outs, 1), (hx, cx)


class TaughtDecoder(nn.Module):
    """Without the words it is to say it would go on by itself, from a first word that it does not have."""

    FED = ("f B T 6", "f B T 10")

    def __init__(self):
        super().__init__()
        self.first = 10
        self.near = nn.Conv1d(1, 4, 3, padding=1)
        self.weigh, self.rnn, self.out = nn.Linear(6 + 4 + 16, 1), nn.GRU(6 + 10, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, encodings, taught=None):
        state = encodings.new_zeros(1, len(encodings), 16)
        weights = encodings.new_ones(encodings.shape[:2]) / encodings.shape[1]
        if taught is None:
            word = encodings.new_zeros(len(encodings), 10)
            word[:, self.first] = 1
            return self.step(word, encodings, weights, state)[0]
        said = []
        for word in taught.unbind(1):
            out, weights, state = self.step(word, encodings, weights, state)
            said.append(out)
        return torch.stack(said, 1)

    def step(self, word, encodings, weights, state):
        near = self.near(weights[:, None]).mT
        every = torch.cat((encodings, near, state[0, :, None].repeat(1, encodings.shape[1], 1)), 2)
        scores = self.weigh(every.tanh()).squeeze(2).sigmoid()
        weights = scores / scores.sum(1, keepdim=True)
        read = (weights[:, None] @ encodings).squeeze(1)
        out, state = self.rnn(torch.cat((word, read), 1)[:, None], state)
        return self.out(out.squeeze(1)), weights, state


class StepsByNumber(nn.Module):
    """Takes the steps apart before it goes through them, time first."""

    FED = ("f T B 6", "f B 5", "f B 5")

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(6, 5), nn.Linear(5, 3)

    def forward(self, x, h, c):
        steps = x.unbind(0)
        outs = []
        for i in range(len(steps)):
            h, c = self.cell(steps[i], (h, c))
            outs.append(self.out(h))
        return torch.stack(outs)
