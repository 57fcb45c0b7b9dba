"""Biases without effect: found where moving them changes nothing, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import Severity, check_gradients


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.q(x) @ self.k(x).transpose(1, 2) / 8**0.5).softmax(-1)
        out: Tensor = weights @ self.v(x)
        return out


class Centred(nn.Module):
    """Subtracts the mean over the batch by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        out: Tensor = self.head(torch.tanh(z - z.mean(0)))
        return out


class Siamese(nn.Module):
    """The difference of one layer's answers to two halves of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.net(x).chunk(2)
        return left - right


def conv_norm(norm: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.GELU(), nn.Flatten(), nn.Linear(216, 2))


PICTURES, VECTORS, TOKENS = (32, 3, 8, 8), (32, 8), (16, 5, 8)
REDUNDANT = [
    ("batch-norm", lambda: conv_norm(nn.BatchNorm2d(6)), PICTURES, {"0.bias"}),
    ("instance-norm", lambda: conv_norm(nn.InstanceNorm2d(6)), PICTURES, {"0.bias"}),
    ("group-norm-of-one-channel", lambda: conv_norm(nn.GroupNorm(6, 6)), PICTURES, {"0.bias"}),
    ("key", Attention, TOKENS, {"k.bias"}),
    ("by-hand", Centred, VECTORS, {"encoder.bias"}),
    ("siamese", Siamese, VECTORS, {"net.2.bias"}),
]
USEFUL = [
    ("group-norm-of-two-channels", lambda: conv_norm(nn.GroupNorm(3, 6)), PICTURES),
    ("norm-in-eval-mode", lambda: conv_norm(nn.BatchNorm2d(6)).eval(), PICTURES),
    ("layer-norm", lambda: nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 2)), VECTORS),
    ("activation-between", lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 2)), VECTORS),
    ("half", lambda: nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2)).bfloat16(), VECTORS),
]


def reported(model: nn.Module, shape: tuple[int, ...]) -> set[str]:
    x = torch.randn(shape).to(next(model.parameters()).dtype)
    findings = check_gradients(model, x, select=["redundant-parameter"]).findings
    assert all(finding.severity is Severity.NOTE for finding in findings)
    return {name for finding in findings for name in finding.names}


def effect(model: nn.Module, name: str, shape: tuple[int, ...]) -> float:
    """How far the output moves when one bias moves, in float64."""
    model = model.double()
    x = torch.randn(shape, dtype=torch.float64)
    before = model(x).detach()
    with torch.no_grad():
        bias = model.get_parameter(name)
        bias.add_(torch.randn(bias.shape, dtype=torch.float64))
    return float((model(x).detach() - before).abs().max())


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("make", "shape", "names"), [pytest.param(*rest, id=name) for name, *rest in REDUNDANT])
def test_found(make: Callable[[], nn.Module], shape: tuple[int, ...], names: set[str], seed: int) -> None:
    torch.manual_seed(seed)
    model = make()
    assert reported(model, shape) == names
    assert all(effect(model, name, shape) < 1e-9 for name in names)


@pytest.mark.parametrize(("make", "shape"), [pytest.param(*rest, id=name) for name, *rest in USEFUL])
def test_useful_ones_are_left_alone(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = make()
    assert reported(model, shape) == set()
    biases = [name for name, p in model.named_parameters() if name.endswith("bias") and p.requires_grad]
    assert all(effect(model, name, shape) > 1e-3 for name in biases)
