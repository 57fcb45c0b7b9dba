"""Sick models, one or more for every rule that reports an error, with steps of at least 20 ms: the faults of the zoo at full size.

Inputs are given, as they are in a test of one's own; (model, inputs, what the author declares).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.speed.sick_modules import Hidden, Shared, Through, Towers, Typo
from benchmarks.speed.sound import Tagger, gpt, mlp, resnet, vit

Case = tuple[nn.Module, Any, dict[str, Any]]


def _deep(activation: type[nn.Module], width: int = 512, depth: int = 12, rows: int = 128, std: float | None = None) -> Case:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), activation())]
    for layer in layers[::2] if std is not None else ():
        nn.init.normal_(layer.weight, std=std)
    return nn.Sequential(*layers, nn.Linear(width, 10)), torch.randn(rows, width), {}


def vgg_of_sigmoids() -> Case:
    sizes = [3, 16, 16, 24, 24, 24, 24, 24, 24]
    layers: list[nn.Module] = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)), torch.randn(32, 3, 32, 32), {}


def _amid(model: nn.Sequential, at: int, layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(*model[:at], layer, *model[at:])


def nan_in_forward() -> Case:
    model, x = resnet()
    return _amid(model, 5, Through(lambda h: h * torch.log(h - 1))), x, {}


def nan_in_backward() -> Case:
    model, x = gpt()
    return _amid(model, 3, Through(lambda h: h + torch.sqrt((h - h.detach()).square().sum(-1, keepdim=True)))), x, {}


def overflow() -> Case:
    model, x = mlp(1024, 6, 128)
    return _amid(model, 6, Through(lambda h: torch.exp(100 * h))), x, {}


def cut_by_detach() -> Case:
    model, x = vit()
    model.body = _amid(model.body, 3, Through(lambda h: h.detach()))
    return model, x, {}


def cut_by_argmax() -> Case:
    model, x = mlp(1024, 6, 128)
    return _amid(model, 6, Through(lambda h: F.one_hot(h.argmax(-1), 1024).float())), x, {}


def dead_layer() -> Case:
    model, x = mlp(1024, 6, 128)
    nn.init.constant_(model[6].bias, -50.0)
    return model, x, {}


def dead_channels() -> Case:
    model, x = resnet()
    nn.init.constant_(model[5].branch[1].bias, -20.0)
    model[5] = nn.Sequential(model[5].branch[:3], nn.Conv2d(24, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24))
    return model, x, {}


def saturated() -> Case:
    model, x, _ = _deep(nn.Tanh, depth=6, rows=256)
    nn.init.normal_(model[4].weight, std=3.0)
    return model, x, {}


def zero_factor() -> Case:
    model, x = mlp(1024, 6, 128)
    return _amid(model, 6, Through(lambda h: 0.0 * h + 1.0)), x, {}


def constant_output() -> Case:
    class Pooled(nn.Module):
        """Normalises what is one number."""

        def __init__(self) -> None:
            super().__init__()
            self.body, _ = resnet()
            self.head = nn.Linear(10, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.softmax(self.head(self.body(x)), -1)

    _, x = resnet()
    return Pooled(), x, {}


def exploding() -> Case:
    return _deep(nn.ReLU, std=1.0)


def future_leak() -> Case:
    model, x = gpt()
    model[2].causal = False
    return model, x, {"causal": True}


def double_softmax() -> Case:
    model, x = resnet()
    return nn.Sequential(*model, nn.Softmax(-1)), x, {"loss": "CrossEntropyLoss"}


def high_initial_loss() -> Case:
    model, x = resnet()
    nn.init.normal_(model[-1].weight, std=20.0)
    return model, x, {"loss": "CrossEntropyLoss"}


def identical_units() -> Case:
    model, x = mlp(1024, 6, 128)
    for layer in model[:-1:2]:
        nn.init.constant_(layer.weight, 2 / 1024)
    return model, x, {}


def forgetful() -> Case:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.RNN(64, 256, batch_first=True), nn.Linear(256, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    model = Classifier()
    nn.init.normal_(model.rnn.weight_hh_l0, std=0.01)
    return model, torch.randn(32, 40, 64), {}


def wrong_backward() -> Case:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient * ctx.saved_tensors[0]

    model, x = mlp(1024, 6, 128)
    return _amid(model, 4, Through(Square.apply)), x, {}


class Forgetting(Tagger):
    """What one of its layers returns is not used."""

    def __init__(self) -> None:
        super().__init__(1000, 192)
        self.extra = nn.Linear(192, 192)

    def forward(self, tokens: Tensor) -> Tensor:
        self.extra(self.embed(tokens))
        return super().forward(tokens)


SICK: dict[str, tuple[str, Callable[[], Case]]] = {
    "deep MLP of sigmoids": ("vanishing-gradient", lambda: _deep(nn.Sigmoid)),
    "deep MLP, small weights": ("vanishing-gradient", lambda: _deep(nn.Tanh, std=0.004)),
    "VGG of sigmoids": ("vanishing-gradient", vgg_of_sigmoids),
    "deep MLP, large weights": ("exploding-gradient", exploding),
    "ResNet, log of a negative": ("nonfinite-gradient", nan_in_forward),
    "GPT, sqrt at 0": ("nonfinite-gradient", nan_in_backward),
    "MLP, exp overflows": ("nonfinite-gradient", overflow),
    "ResNet, a typo": ("missing-gradient", lambda: (Typo(), resnet()[1], {})),
    "LSTM, never returned": ("missing-gradient", lambda: (Forgetting(), torch.randint(0, 1000, (32, 32)), {})),
    "ViT, detach()": ("cut-gradient", cut_by_detach),
    "MLP, argmax": ("cut-gradient", cut_by_argmax),
    "MLP, a dead layer": ("dead-unit", dead_layer),
    "ResNet, dead channels": ("dead-unit", dead_channels),
    "MLP, a saturated layer": ("saturated-activation", saturated),
    "MLP, times zero": ("zero-gradient", zero_factor),
    "ResNet, softmax of one": ("constant-output", constant_output),
    "transformer, batch_first": ("mixed-samples", lambda: (Shared(), torch.randn(32, 16, 64), {"batch_axis": 0})),
    "GPT, a missing mask": ("future-leak", future_leak),
    "ResNet, softmax twice": ("double-softmax", double_softmax),
    "ResNet, huge head": ("high-initial-loss", high_initial_loss),
    "MLP, equal units": ("identical-units", identical_units),
    "two towers, a tiny factor": ("unbalanced-gradient", lambda: (Towers(), resnet()[1], {})),
    "GPT, adapters in a list": ("unregistered-parameter", lambda: (Hidden(), torch.randint(0, 1000, (32, 32)), {})),
    "RNN that forgets": ("vanishing-through-time", forgetful),
    "MLP, wrong backward": ("wrong-backward", wrong_backward),
}
"""Name -> (the rule that has to report it, how it is built)."""
