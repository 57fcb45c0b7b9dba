"""Sick models that train with tensors their optimizer will never see."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sick

RULE = "unregistered-parameter"


class PlainList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inp = nn.Linear(12, 24)
        self.blocks = [nn.Linear(24, 24), nn.Linear(24, 24)]
        self.out = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.inp(x))
        for block in self.blocks:
            x = x + F.relu(block(x))
        return self.out(x)


@sick(RULE, "blocks")
def layers_in_a_list() -> Built:
    return PlainList(), torch.randn(32, 12)


class PlainDict(nn.Module):
    """Multi-task heads by name."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.heads = {"age": nn.Linear(8, 1), "sex": nn.Linear(8, 2)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        z = self.trunk(x)
        return {name: head(z) for name, head in self.heads.items()}


@sick(RULE, "heads")
def heads_in_a_dict() -> Built:
    return PlainDict(), torch.randn(8, 3, 16, 16)


class BareTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(10, 16)
        self.w = torch.randn(16, 4, requires_grad=True)
        self.b = torch.zeros(4, requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.embed(x)) @ self.w + self.b


@sick(RULE, "w", "b")
def weight_is_a_bare_tensor() -> Built:
    return BareTensor(), torch.randn(32, 10)


class FromParameter(nn.Module):
    """`nn.Parameter(...) * 0.1` is no Parameter any more, and its leaf is nobody's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(10, 16)
        self.scales = [nn.Parameter(torch.ones(16)), nn.Parameter(torch.ones(16))]

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for scale in self.scales:
            x = torch.tanh(x * scale)
        return x


@sick(RULE, "scales")
def parameters_in_a_list() -> Built:
    return FromParameter(), torch.randn(32, 10)


class BuiltInForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x)).flatten(1)
        return nn.Linear(x.shape[1], 5)(x)


@sick(RULE, "")
def head_built_in_forward() -> Built:
    return BuiltInForward(), torch.randn(16, 4, 10)


class Rewrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(12, 8)
        self.decoder = nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        code = nn.Parameter(self.encoder(x))
        return self.decoder(code)


@sick(RULE, "", "encoder", "decoder")
def code_wrapped_as_a_parameter() -> Built:
    return Rewrapped(), torch.randn(32, 12)


class NewLeaf(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten())
        self.fc = nn.Linear(6 * 36, 10)

    def forward(self, x: Tensor) -> Tensor:
        z = self.stem(x)
        z = z.detach()
        z.requires_grad = True
        return self.fc(z)


@sick(RULE, "", "stem", synonyms={"cut-gradient": "the detach() is what cuts the stem off"})
def detached_and_required_again() -> Built:
    return NewLeaf(), torch.randn(16, 1, 8, 8)


class Helper:
    """Somebody's class that should have been an nn.Module."""

    def __init__(self, width: int) -> None:
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def __call__(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))


class WithHelper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.mlp = Helper(16)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


@sick(RULE, "mlp")
def layer_in_a_plain_object() -> Built:
    return WithHelper(), torch.randn(32, 16)


class ByName(nn.Module):
    """Keeps its branches in a tuple of pairs, beside what is registered."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 12)
        self.branches: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (("a", self.first), ("b", nn.Linear(12, 12)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for _, branch in self.branches]).sum(0)


@sick(RULE, "branches.1.1")
def one_branch_of_a_tuple() -> Built:
    return ByName(), torch.randn(32, 12)


SHARED = nn.Linear(12, 12)


class UsesAGlobal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(SHARED(x)))


@sick(RULE, "SHARED")
def layer_is_a_global() -> Built:
    return UsesAGlobal(), torch.randn(32, 12)


class ScaledPositions(nn.Module):
    """The factor belongs inside: the product is a tensor like any other, and its parameter has no name."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 8)
        self.pos = nn.Parameter(torch.randn(1, 6, 8)) * 0.02
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.gelu(self.mix(self.embed(x) + self.pos)).mean(1))


@sick(RULE, "pos")
def product_of_a_parameter() -> Built:
    return ScaledPositions(), torch.randn(32, 6, 8)
