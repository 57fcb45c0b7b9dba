"""Sound models with custom functions: right ones, and gradients that are no derivatives on purpose."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.zoo.entry import Built, sound
from tests.zoo.sick.backwards import Calls, batch, net


class Mish(torch.autograd.Function):
    """Right, and in place on its saved tensor's copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.tanh(nn.functional.softplus(x))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        t = torch.tanh(nn.functional.softplus(x))
        return g * (t + x * torch.sigmoid(x) * (1 - t * t))


@sound
def right_backward() -> Built:
    return net(Calls(Mish.apply)), batch()


class StepSize(torch.autograd.Function):
    """LSQ: rounding with a learnt step, whose gradient is defined rather than derived."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor) -> Tensor:
        ctx.save_for_backward(x, step)
        return (x / step).round().clamp(-7, 7) * step

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        x, step = ctx.saved_tensors
        scaled = x / step
        inside = (scaled.abs() <= 7).to(g.dtype)
        slope = inside * (scaled.round() - scaled) + (1 - inside) * 7 * scaled.sign()
        return g * inside, (g * slope).sum().reshape(step.shape)


class Quantiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return StepSize.apply(x, self.step)


@sound
def learnt_step_size() -> Built:
    return net(Quantiser()), batch()


class Nearest(torch.autograd.Function):
    """Vector quantisation: the nearest entry of a codebook, straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, codes: Tensor) -> Tensor:
        index = torch.cdist(x, codes).argmin(1)
        ctx.save_for_backward(index)
        ctx.count = len(codes)
        return codes[index]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        (index,) = ctx.saved_tensors
        return g, torch.zeros(ctx.count, g.shape[1], dtype=g.dtype).index_add(0, index, g)


class Codebook(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(4, 16))

    def forward(self, x: Tensor) -> Tensor:
        return Nearest.apply(x, self.codes)


@sound
def codebook_straight_through() -> Built:
    return net(Codebook()), torch.randn(64, 8)


class Soften(torch.autograd.Function):
    """Identity whose gradient is clipped on its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return 0.1 * g.clamp(-1, 1)


@sound
def gradient_that_is_clipped_on_its_way() -> Built:
    return net(Calls(Soften.apply)), batch()


class Window(torch.autograd.Function):
    """A spike, with a surrogate that is zero away from the threshold."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g * (x.abs() < 0.5)


@sound
def spikes_with_a_window() -> Built:
    return net(Calls(Window.apply)), batch()


class Shrink(torch.autograd.Function):
    """Soft threshold: kinks at both ends, and right everywhere else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, amount: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.amount = amount
        return x.sign() * (x.abs() - amount).clamp(min=0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return g * (x.abs() > ctx.amount), None


@sound
def function_with_kinks() -> Built:
    return net(Calls(lambda x: Shrink.apply(x, 0.3))), batch()


class Halving(nn.Module):
    """Old-style checkpointing is a custom function of torch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(16, 16), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=True)


@sound
def reentrant_checkpoint() -> Built:
    return net(Halving()), batch()


class InPlace(torch.autograd.Function):
    """exp in place, from its own output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.exp_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return g * y


@sound
def function_in_place() -> Built:
    return net(Calls(lambda x: InPlace.apply(0.5 * x))), batch()


class Distances(torch.autograd.Function):
    """Minus the L1 distance to each of some points; the points get a gradient of one length, as in Chen et al. 2020."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, points: Tensor) -> Tensor:
        ctx.save_for_backward(x, points)
        return -(x[:, None] - points).abs().sum(2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        x, points = ctx.saved_tensors
        apart = x[:, None] - points
        steered = (apart * g[..., None]).sum(0)
        return (-apart.clamp(-1, 1) * g[..., None]).sum(1), steered / steered.norm().clamp(min=1e-12)


class Points(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.points, self.norm = nn.Parameter(torch.randn(16, 16)), nn.BatchNorm1d(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(Distances.apply(x, self.points))


@sound
def gradient_of_one_length() -> Built:
    return net(Points()), batch()
