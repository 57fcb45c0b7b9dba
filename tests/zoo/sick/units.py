"""Sick models whose activations are dead or saturated."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

FLOW = {"vanishing-gradient": "the layers before it get nothing either"}
SAME = {"vanishing-gradient": "all of a layer is saturated, and the flow stops there"}


def net(*activations: nn.Module, width: int = 64) -> nn.Sequential:
    """(Linear, activation) for each activation, He weights, and a head."""
    layers: list[nn.Module] = []
    for activation in activations:
        linear = nn.Linear(width, width)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        layers += [linear, activation]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def batch(width: int = 64) -> Tensor:
    return torch.randn(512, width)


@sick("dead-unit", "2", "3", also=FLOW)
def bias_of_minus_ten() -> Built:
    model = net(nn.ReLU(), nn.ReLU(), nn.ReLU())
    nn.init.constant_(model[2].bias, -10.0)
    return model, batch()


@sick("dead-unit", "0", "1", also=FLOW, data="negative values only")
def negative_inputs_before_relu() -> Built:
    """Pixels from 0 to 255 and weights that are nearly all negative."""
    model = net(nn.ReLU(), nn.ReLU())
    model[0].weight.data.abs_().neg_()
    return model, 255 * torch.rand(512, 64)


@sick("dead-unit", "0", "1", "2", "3", also=FLOW, data="positive values only")
def killed_by_a_learning_rate() -> Built:
    """A few steps of plain SGD with a learning rate of 30 against a constant target."""
    model = net(nn.ReLU(), nn.ReLU())
    x = batch().abs()
    for _ in range(3):
        model.zero_grad()
        F.mse_loss(model(x), torch.full((512, 4), -5.0)).backward()
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.data -= 30 * parameter.grad / parameter.grad.norm()
    model.zero_grad(set_to_none=True)
    return model, x


@sick("dead-unit", "0", "1", also=FLOW)
def all_below_zero_before_relu6() -> Built:
    """What nn.ReLU6 calls is a hardtanh."""
    model = net(nn.ReLU6(), nn.ReLU6())
    nn.init.constant_(model[0].bias, -30.0)
    return model, batch()


class Clamped(nn.Module):
    """clamp(min=0) on something that softplus made negative."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.middle, self.leave = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.clamp(-F.softplus(self.enter(x)), min=0)
        return self.leave(torch.tanh(self.middle(h)))


@sick("dead-unit", "", "enter", also=FLOW)
def clamp_of_a_negative() -> Built:
    return Clamped(), batch()


@sick("dead-unit", "1", "2", also=FLOW)
def batch_norm_shifted_below_zero() -> Built:
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    nn.init.constant_(model[1].bias, -10.0)
    return model, batch()


@sick("dead-unit", "0", "1", also=FLOW)
def dead_convolution() -> Built:
    body = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    nn.init.constant_(body[0].bias, -10.0)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)), torch.randn(256, 3, 8, 8)


@sick("dead-unit", "2", "3")
def four_fifths_of_a_layer_dead() -> Built:
    """51 of 64 units off for every input: it trains, with a fifth of its width."""
    model = net(nn.ReLU(), nn.ReLU(), nn.ReLU())
    model[2].bias.data[:51] = -20.0
    return model, batch()


class Inverted(nn.Module):
    """relu of minus relu: nothing is left."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(F.relu(-F.relu(self.enter(x)) - 0.1))


@sick("dead-unit", "", "enter", also=FLOW)
def relu_of_minus_relu() -> Built:
    return Inverted(), batch()


@sick("saturated-activation", "2", "3", synonyms=SAME, also=SAME)
def sigmoid_shifted_by_twenty() -> Built:
    model = net(nn.ReLU(), nn.Sigmoid(), nn.ReLU())
    nn.init.constant_(model[2].bias, 20.0)
    return model, batch()


@sick("saturated-activation", "0", "1")
def tanh_of_large_weights() -> Built:
    model = net(nn.Tanh(), nn.Tanh())
    model[0].weight.data.mul_(100)
    return model, batch()


@sick("saturated-activation", "0", "1")
def hardtanh_of_large_weights() -> Built:
    """On either side of its range, sample by sample: no unit is dead."""
    model = net(nn.Hardtanh(), nn.Tanh())
    model[0].weight.data.mul_(100)
    return model, batch()


@sick("saturated-activation", "0", "1", data="values of 0 to 255")
def sigmoid_of_raw_pixels() -> Built:
    """0 to 255 without normalisation."""
    return net(nn.Sigmoid(), nn.ReLU()), 255 * torch.rand(512, 64)


@sick("saturated-activation", "2", "3", synonyms={"dead-unit": "its derivative is exactly 0", **SAME}, also=FLOW)
def hardtanh_beyond_its_range() -> Built:
    model = net(nn.ReLU(), nn.Hardtanh(), nn.Tanh())
    nn.init.constant_(model[2].bias, 30.0)
    return model, batch()


@sick("saturated-activation", "2", "3", synonyms={"dead-unit": "its derivative is exactly 0", **SAME}, also=FLOW)
def hardsigmoid_beyond_its_range() -> Built:
    model = net(nn.ReLU(), nn.Hardsigmoid(), nn.Tanh())
    nn.init.constant_(model[2].bias, -40.0)
    return model, batch()


class UnscaledAttention(nn.Module):
    """Dot products without 1 / sqrt(d), of vectors that are large already: softmax is one-hot."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        nn.init.normal_(self.query.weight, std=1.0)
        nn.init.normal_(self.key.weight, std=1.0)

    def forward(self, x: Tensor) -> Tensor:
        score = self.query(x) @ self.key(x).transpose(1, 2)
        return x + F.softmax(score, dim=-1) @ self.value(x)


@sick("saturated-activation", "1")
def softmax_of_unscaled_logits() -> Built:
    return nn.Sequential(nn.Linear(16, 64), UnscaledAttention(), nn.Linear(64, 4)), 3 * torch.randn(64, 12, 16)


class Gates(nn.Module):
    """Gates whose bias begins at 30: always open, and never to be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.value, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 4)
        nn.init.constant_(self.gate.bias, 30.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sigmoid(self.gate(x)) * torch.tanh(self.value(x)))


@sick("saturated-activation", "", "gate", synonyms={"zero-gradient": "a derivative below the resolution of float32"})
def gates_of_bias_thirty() -> Built:
    return Gates(), batch()


@sick("saturated-activation", "0", "1", "2", "3", "4", "5")
def tanh_of_weights_std_ten() -> Built:
    model = net(nn.Tanh(), nn.Tanh(), nn.Tanh())
    for layer in model[:6:2]:
        nn.init.normal_(layer.weight, std=10.0)
    return model, batch()
