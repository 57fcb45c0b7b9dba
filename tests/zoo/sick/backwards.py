"""Sick models with a hand-written backward that is not the derivative of its forward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick

RULE = "wrong-backward"


class Calls(nn.Module):
    """A layer that applies a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def net(layer: nn.Module, width: int = 16) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, width), layer, nn.Linear(width, 3))


def batch() -> Tensor:
    return torch.randn(12, 8)


class Square(torch.autograd.Function):
    """The sign is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return -2 * x * g


@sick(RULE, "1")
def backward_with_the_wrong_sign() -> Built:
    return net(Calls(Square.apply)), batch()


class Rectify(torch.autograd.Function):
    """The mask is forgotten."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


@sick(RULE, "1")
def backward_without_its_mask() -> Built:
    return net(Calls(Rectify.apply)), batch()


class Normalise(torch.autograd.Function):
    """Layer norm whose backward forgets that mean and variance depend on x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        deviation = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        ctx.save_for_backward(deviation)
        return (x - x.mean(-1, keepdim=True)) / deviation

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (deviation,) = ctx.saved_tensors
        return g / deviation


@sick(RULE, "1")
def norm_whose_statistics_have_no_gradient() -> Built:
    return net(Calls(Normalise.apply)), batch()


class Affine(torch.autograd.Function):
    """x W^T + b by hand: the gradient of the weight is averaged, and that of x is right."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.t() + bias

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return g @ weight, g.t() @ x / len(x), g.sum(0)


class HandMade(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(16, 16) / 4), nn.Parameter(torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(Affine.apply(x, self.weight, self.bias))


@sick(RULE, "1")
def linear_layer_with_an_averaged_weight_gradient() -> Built:
    return net(HandMade()), batch()


class Product(torch.autograd.Function):
    """Gradients of two inputs in the wrong order, with setup_context()."""

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return a * torch.tanh(b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return g * a * (1 - torch.tanh(b) ** 2), g * torch.tanh(b)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return Product.apply(self.value(x), self.gate(x))


@sick(RULE, "1")
def gradients_in_the_wrong_order() -> Built:
    return net(Gated()), batch()


@torch.library.custom_op("gradhealth_zoo::softsign", mutates_args=())
def softsign(x: Tensor) -> Tensor:
    return x / (1 + x.abs())


def _softsign_backward(ctx: Any, g: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return g / (1 + x.abs())  # the square is missing


softsign.register_autograd(_softsign_backward, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))


@sick(RULE, "1")
def operator_with_a_wrong_backward() -> Built:
    return net(Calls(softsign)), batch()


class EdgeForgotten(torch.autograd.Function):
    """Differences of neighbours; backward leaves the last entry out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x[:, 1:] - x[:, :-1]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        gradient = torch.zeros(g.shape[0], g.shape[1] + 1, dtype=g.dtype)
        gradient[:, :-1] = -g
        gradient[:, 1:-1] += g[:, :-1]
        return gradient


@sick(RULE, "1")
def backward_that_forgets_the_edge() -> Built:
    return nn.Sequential(nn.Linear(8, 200), Calls(EdgeForgotten.apply), nn.Linear(199, 3)), batch()


class Reciprocal(torch.autograd.Function):
    """A constant factor: the gradient of 1 / x^2 for that of 1 / x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.exp(-x / 2)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return -g * y


@sick(RULE, "1")
def backward_without_the_inner_derivative() -> Built:
    return net(Calls(Reciprocal.apply)), batch()
