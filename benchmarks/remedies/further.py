"""Sick models that no definition was ever tuned on: faulty programs as they are written, in a few lines each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Made = tuple[nn.Module, Any]
"""A model and its inputs."""


def x(rows: int = 48, width: int = 12, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(rows, width)


def images(rows: int = 16, size: int = 10) -> Tensor:
    return torch.randn(rows, 3, size, size)


def words(rows: int = 24, length: int = 8) -> Tensor:
    return torch.randint(40, (rows, length))


def mlp(depth: int, act: Callable[[], nn.Module], width: int = 24, out: int = 3, enter: int = 12) -> nn.Sequential:
    body = [m for _ in range(depth - 1) for m in (nn.Linear(width, width), act())]
    return nn.Sequential(nn.Linear(enter, width), act(), *body, nn.Linear(width, out))


def conv(depth: int, act: Callable[[], nn.Module], width: int = 12) -> nn.Sequential:
    body = [m for _ in range(depth - 1) for m in (nn.Conv2d(width, width, 3, padding=1), act())]
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), act(), *body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, 3)
    )


def filled(model: nn.Module, fill: Callable[[Tensor], Any], bias: float | None = 0.0) -> nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                fill(p)
            elif bias is not None:
                p.fill_(bias)
    return model


def normal(std: float) -> Callable[[Tensor], Any]:
    return lambda p: nn.init.normal_(p, std=std)


class Through(nn.Module):
    """A net with a function of its author in the middle, or at the end."""

    def __init__(
        self, between: Callable[[Tensor], Tensor], front: nn.Module | None = None, back: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.front = front or nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 16))
        self.back = back or nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 3))
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.between(self.front(x)))


class Looped(nn.Module):
    """Functions instead of modules, and a list of layers."""

    def __init__(self, depth: int, act: Callable[[Tensor], Tensor], std: float | None = None, width: int = 24) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(12, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.act = act
        if std is not None:
            filled(self, normal(std))

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.enter(x))
        for layer in self.layers:
            h = self.act(layer(h))
        return self.head(h)


class Residual(nn.Module):
    def __init__(self, depth: int, std: float) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(12, 24), nn.Linear(24, 3)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 24)) for _ in range(depth))
        filled(self, normal(std))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x)
        for block in self.blocks:
            h = h + block(h)
        return self.head(h)


class Text(nn.Module):
    """A bag of words under a net."""

    def __init__(self, net: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.table, self.net, self.scale = nn.Embedding(40, 12), net, scale

    def forward(self, tokens: Tensor) -> Tensor:
        return self.net(self.table(tokens).mean(1) * self.scale)


class Last(nn.Module):
    """What a recurrent layer has at its last step."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn, self.head = rnn, nn.Linear(rnn.hidden_size, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Cell(nn.Module):
    def __init__(self, cell: nn.Module, width: int = 20) -> None:
        super().__init__()
        self.cell, self.head, self.width = cell, nn.Linear(width, 3), width

    def forward(self, x: Tensor) -> Tensor:
        state: Any = x.new_zeros(len(x), self.width)
        state = (state, state) if isinstance(self.cell, nn.LSTMCell) else state
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class ByHand(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor], gain: float, width: int = 20) -> None:
        super().__init__()
        self.w, self.u, self.head = nn.Linear(6, width), nn.Linear(width, width, bias=False), nn.Linear(width, 3)
        nn.init.normal_(self.u.weight, std=gain / math.sqrt(width))
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.u.in_features)
        for t in range(x.shape[1]):
            h = self.act(self.w(x[:, t]) + self.u(h))
        return self.head(h)


class Attention(nn.Module):
    def __init__(self, scale: float, std: float) -> None:
        super().__init__()
        self.q, self.k, self.v, self.head = nn.Linear(6, 24), nn.Linear(6, 24), nn.Linear(6, 24), nn.Linear(24, 3)
        self.scale = scale
        nn.init.normal_(self.q.weight, std=std)
        nn.init.normal_(self.k.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.q(x) @ self.k(x).transpose(1, 2) * self.scale, -1)
        return self.head((weights @ self.v(x)).mean(1))


class Loss(nn.Module):
    """A model that returns its own loss."""

    def __init__(self, net: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.loss(self.net(x), y)


def steps(length: int = 30) -> Tensor:
    return torch.randn(16, length, 6)


def labelled(scale: float = 1.0) -> tuple[Tensor, Tensor]:
    data = x(60, scale=scale)
    return data, (data[:, 0] > 0).long() + (data[:, 1] > 0).long()


def binary() -> tuple[Tensor, Tensor]:
    data = x(60)
    return data, (data[:, :1] > 0).float()


def rnn(kind: type[nn.RNNBase], std: float | None = None, bias: tuple[int, float] | None = None, **more: Any) -> nn.RNNBase:
    made = kind(6, 20, batch_first=True, **more)
    if std is not None:
        nn.init.normal_(made.weight_hh_l0, std=std)
    if bias is not None:
        made.bias_hh_l0.data[20 * bias[0] : 20 * bias[0] + 20] = bias[1]
    return made


def cell(kind: Callable[..., nn.Module], part: int, bias: float, shrink: float = 1.0) -> nn.Module:
    made = kind(6, 20)
    made.bias_ih.data[20 * part : 20 * part + 20] = bias
    made.weight_hh.data.mul_(shrink)
    return made


def shifted(model: nn.Sequential, at: int, bias: float) -> nn.Sequential:
    nn.init.constant_(model[at].bias, bias)
    return model


def scaled(model: nn.Sequential, at: int, std: float) -> nn.Sequential:
    nn.init.normal_(model[at].weight, std=std)
    return model


def constant(value: float) -> Callable[[Tensor], Any]:
    return lambda p: nn.init.constant_(p, value)


def softly(net: nn.Module) -> nn.Module:
    return nn.Sequential(net, nn.Softmax(dim=-1))


def squashed(net: nn.Module) -> nn.Module:
    return nn.Sequential(net, nn.Sigmoid())


CROSS = F.cross_entropy
FLOW: dict[str, Callable[[], Made]] = {
    "sigmoid-mlp-14": lambda: (mlp(14, nn.Sigmoid), x()),
    "sigmoid-functions-11": lambda: (Looped(11, torch.sigmoid), x()),
    "hardsigmoid-12": lambda: (mlp(12, nn.Hardsigmoid), x()),
    "tanh-std-0.02": lambda: (filled(mlp(9, nn.Tanh), normal(0.02)), x()),
    "tanh-functions-std-0.03": lambda: (Looped(12, torch.tanh, 0.03), x()),
    "relu-std-0.01-conv": lambda: (filled(conv(8, nn.ReLU), normal(0.01)), images()),
    "sigmoid-conv-8": lambda: (conv(8, nn.Sigmoid), images()),
    "tanh-conv-std-0.01": lambda: (filled(conv(7, nn.Tanh), normal(0.01)), images()),
    "relu-default-26": lambda: (mlp(26, nn.ReLU), x()),
    "gelu-std-0.02-16": lambda: (filled(mlp(16, nn.GELU), normal(0.02)), x()),
    "leaky-uniform-0.02": lambda: (filled(mlp(10, nn.LeakyReLU), lambda p: nn.init.uniform_(p, -0.02, 0.02)), x()),
    "xavier-gain-0.2": lambda: (filled(mlp(12, nn.ReLU), lambda p: nn.init.xavier_uniform_(p, 0.2)), x()),
    "linear-std-0.02": lambda: (filled(mlp(10, nn.Identity), normal(0.02)), x()),
    "bag-of-words-under-sigmoids": lambda: (Text(mlp(11, nn.Sigmoid)), words()),
    "divided-by-a-million": lambda: (Through(lambda h: h / 1e6), x()),
    "times-1e-5-twice": lambda: (Through(lambda h: torch.tanh(h * 1e-5) * 0.5), x()),
    "silu-std-0.01": lambda: (filled(mlp(8, nn.SiLU), normal(0.01)), x()),
    "relu-std-one": lambda: (filled(mlp(8, nn.ReLU), normal(0.9)), x()),
    "leaky-uniform-one": lambda: (filled(mlp(9, nn.LeakyReLU), lambda p: nn.init.uniform_(p, -1.5, 1.5)), x()),
    "linear-gain-3": lambda: (filled(mlp(12, nn.Identity), lambda p: nn.init.orthogonal_(p, 3.0)), x()),
    "relu-rand": lambda: (filled(mlp(6, nn.ReLU), lambda p: nn.init.uniform_(p, 0, 1)), x()),
    "conv-std-one": lambda: (filled(conv(6, nn.ReLU), normal(0.6)), images()),
    "conv-leaky-std-half": lambda: (filled(conv(7, nn.LeakyReLU), normal(0.5)), images()),
    "residual-16-he-twice": lambda: (Residual(16, 0.35), x()),
    "residual-24": lambda: (Residual(24, 0.25), x()),
    "times-a-hundred-thousand": lambda: (Through(lambda h: h * 1e5), x()),
    "functions-relu-std-0.8": lambda: (Looped(9, F.relu, 0.8), x()),
    "functions-elu-std-one": lambda: (Looped(8, F.elu, 1.2), x()),
}
TIME: dict[str, Callable[[], Made]] = {
    "rnn-std-0.005": lambda: (Last(rnn(nn.RNN, 0.005)), steps()),
    "rnn-relu-std-0.6": lambda: (Last(rnn(nn.RNN, 0.8, nonlinearity="relu")), steps()),
    "lstm-forget-minus-8": lambda: (Last(rnn(nn.LSTM, bias=(1, -8.0))), steps()),
    "lstm-forget-minus-5-short": lambda: (Last(rnn(nn.LSTM, bias=(1, -7.0))), steps(24)),
    "gru-takes-all-new": lambda: (Last(rnn(nn.GRU, 0.01, bias=(1, -9.0))), steps()),
    "sigmoid-state": lambda: (ByHand(torch.sigmoid, 0.8), steps()),
    "linear-state-shrinks": lambda: (ByHand(lambda h: h, 0.1), steps()),
    "linear-state-grows": lambda: (ByHand(lambda h: h, 2.5), steps()),
    "relu-state-grows": lambda: (ByHand(F.relu, 4.0), steps()),
    "tanh-state-tiny": lambda: (ByHand(torch.tanh, 0.05), steps()),
    "lstm-cell-forgets": lambda: (Cell(cell(nn.LSTMCell, 1, -8.0)), steps()),
    "gru-cell-forgets": lambda: (Cell(cell(nn.GRUCell, 1, -8.0, 0.05)), steps()),
}
UNITS: dict[str, Callable[[], Made]] = {
    "relu-bias-minus-15": lambda: (shifted(mlp(3, nn.ReLU), 2, -15.0), x()),
    "relu-bias-minus-30-conv": lambda: (shifted(conv(3, nn.ReLU), 2, -30.0), images()),
    "relu-first-layer-off": lambda: (shifted(mlp(2, nn.ReLU), 0, -40.0), x()),
    "relu6-bias-minus-20": lambda: (shifted(mlp(3, nn.ReLU6), 2, -20.0), x()),
    "negative-weights-behind-relu": lambda: (filled(mlp(4, nn.ReLU), lambda p: p.copy_(-p.abs()), None), x()),
    "half-of-a-text-net-off": lambda: (Text(shifted(mlp(3, nn.ReLU), 2, -12.0)), words()),
    "tanh-std-30": lambda: (scaled(mlp(3, nn.Tanh), 2, 30.0), x()),
    "tanh-std-100-first": lambda: (scaled(mlp(2, nn.Tanh), 0, 100.0), x()),
    "sigmoid-std-60": lambda: (scaled(mlp(2, nn.Sigmoid), 2, 60.0), x()),
    "hardtanh-std-50": lambda: (scaled(mlp(3, nn.Hardtanh), 2, 50.0), x()),
    "tanh-conv-std-20": lambda: (scaled(conv(3, nn.Tanh), 2, 20.0), images()),
    "tanh-of-raw-scale": lambda: (mlp(2, nn.Tanh), x(scale=2000.0)),
    "attention-unscaled": lambda: (Attention(1.0, 6.0), steps(12)),
}
IDENTICAL: dict[str, Callable[[], Made]] = {
    "all-0.1": lambda: (filled(mlp(3, nn.Tanh), constant(0.1)), x()),
    "all-ones": lambda: (filled(mlp(2, nn.Tanh), constant(1.0)), x(scale=0.1)),
    "conv-constant": lambda: (filled(conv(2, nn.Tanh), constant(0.05)), images()),
    "rnn-constant": lambda: (Last(filled(nn.RNN(6, 20, batch_first=True), constant(0.05))), steps(10)),  # type: ignore[arg-type]
    "functions-constant": lambda: (filled(Looped(2, torch.tanh), constant(0.2)), x()),
    "embedding-constant": lambda: (filled(Text(mlp(2, nn.Tanh)), constant(0.3)), words()),
}
DOUBLE: dict[str, Callable[[], Made]] = {
    "softmax-then-cross-entropy": lambda: (Loss(softly(mlp(2, nn.ReLU)), CROSS), labelled()),
    "functional-softmax": lambda: (Loss(Through(lambda h: h), lambda o, y: CROSS(F.softmax(o, 1), y)), labelled()),
    "sigmoid-then-with-logits": lambda: (
        Loss(squashed(mlp(2, nn.ReLU, out=1)), F.binary_cross_entropy_with_logits), binary()
    ),
    "sigmoid-method-then-with-logits": lambda: (
        Loss(mlp(2, nn.Tanh, out=1), lambda o, y: F.binary_cross_entropy_with_logits(o.sigmoid(), y)), binary()
    ),
    "softmax-of-softmax": lambda: (Loss(softly(softly(mlp(2, nn.GELU))), lambda o, y: F.nll_loss(o.log(), y)), labelled()),
}  # fmt: skip
NAN: dict[str, Callable[[], Made]] = {
    "log-of-relu": lambda: (Through(lambda h: torch.log(F.relu(h))), x()),
    "own-norm-at-zero": lambda: (Through(lambda h: h * (h.detach() - h.detach()) / (h * 0).norm(dim=1, keepdim=True)), x()),
    "root-of-squares": lambda: (Through(lambda h: torch.sqrt((h - h.detach()) ** 2)), x()),
    "power-of-a-negative": lambda: (Through(lambda h: h**0.3), x()),
    "acos-of-itself": lambda: (Through(lambda h: torch.acos(F.normalize(h, dim=1) @ F.normalize(h, dim=1).T)[:, :16]), x()),
    "masked-everything": lambda: (
        Through(lambda h: torch.softmax(h.masked_fill(h.sum(1, keepdim=True) > 0, -math.inf), 1)),
        x(),
    ),
    "exp-overflow": lambda: (Through(lambda h: torch.exp(500 * h)), x()),
    "mean-over-an-empty-mask": lambda: (Through(lambda h: (h * (h > 99)) / (h > 99).float().sum(1, keepdim=True)), x()),
    "std-of-a-constant": lambda: (Through(lambda h: h / (h * 0 + 1).std(0)), x()),
    "rsqrt-of-zero": lambda: (Through(lambda h: h * torch.rsqrt(F.relu(h))), x()),
}
OTHERS: dict[str, Callable[[], Made]] = {
    "logits-times-300": lambda: (Loss(mlp(2, nn.ReLU), lambda o, y: CROSS(300 * o, y)), labelled()),
    "head-std-50": lambda: (Loss(scaled(mlp(2, nn.ReLU), 4, 50.0), CROSS), labelled()),
    "temperature-0.002": lambda: (Loss(mlp(2, nn.Tanh), lambda o, y: CROSS(o / 0.002, y)), labelled()),
    "inputs-not-normalised": lambda: (Loss(mlp(2, nn.ReLU), CROSS), labelled(scale=5000.0)),
}
KINDS = {
    "flow": FLOW,
    "time": TIME,
    "units": UNITS,
    "identical": IDENTICAL,
    "double-softmax": DOUBLE,
    "nan": NAN,
    "others": OTHERS,
}
