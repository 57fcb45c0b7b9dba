"""Sick models that no definition was ever tuned on: faulty programs as they are written, in a few lines each."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.remedies.parts import (
    CROSS,
    Attention,
    ByHand,
    Cell,
    Last,
    Looped,
    Loss,
    Made,
    Residual,
    Text,
    Through,
    binary,
    cell,
    constant,
    conv,
    filled,
    images,
    labelled,
    mlp,
    normal,
    rnn,
    scaled,
    shifted,
    softly,
    squashed,
    steps,
    words,
    x,
)

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
