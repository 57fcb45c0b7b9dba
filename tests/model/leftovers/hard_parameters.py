"""Hard models that work on their parameters, buffers, hooks and modules."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from tests.model.leftovers.hard import Lined, hard, hard_if


@hard
def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(2, bias=False))


@hard_if(batch=lambda: torch.randn(2, 3, 6, 6))
def lazy_convolution() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyInstanceNorm2d(affine=True, track_running_stats=True), nn.Flatten())


@hard
def spectral_norm_by_hook() -> nn.Module:
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 2))


@hard
def spectral_norm() -> nn.Module:
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 2))


@hard
def weight_norm_by_hook() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and in use
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.ReLU())


@hard
def weight_norm() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU())


@hard
def orthogonal() -> nn.Module:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(4, 4)), nn.ReLU())


class _Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * weight.detach().mean()
        return weight - self.mean


@hard
def parametrized() -> nn.Module:
    fc = nn.Linear(4, 4)
    parametrize.register_parametrization(fc, "weight", _Counting())
    return nn.Sequential(fc, nn.ReLU())


@hard
def pruned() -> nn.Module:
    fc = nn.Linear(4, 4)
    prune.l1_unstructured(fc, "weight", amount=0.5)
    return nn.Sequential(fc, nn.ReLU())


@hard
class PrunesInForward(Lined):
    def act(self, x: torch.Tensor) -> None:
        if "weight_mask" not in self.fc._buffers:
            prune.l1_unstructured(self.fc, "weight", amount=0.25)


@hard
class EmaInPlace(Lined):
    def setup(self) -> None:
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("ema", torch.zeros(4))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.ema.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        out: torch.Tensor = self.norm(x)
        return out


@hard
class ReassignedBuffers(Lined):
    def setup(self) -> None:
        self.register_buffer("ema", torch.zeros(4))
        self.register_buffer("late", None)
        self.register_buffer("hidden", torch.zeros(()), persistent=False)

    def act(self, x: torch.Tensor) -> None:
        self.ema = 0.9 * self.ema + 0.1 * x.detach().mean(0)
        self.late = x.detach()
        self.hidden = self.hidden + 1
        self.register_buffer("new", x.detach(), persistent=False)


@hard
def tied_weights() -> nn.Module:
    class Tied(Lined):
        def setup(self) -> None:
            self.head = nn.Linear(4, 4, bias=False)
            self.head.weight = self.fc.weight

        def act(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                self.fc.weight.mul_(0.99)
            out: torch.Tensor = self.head(x)
            return out

    return Tied()


@hard
class TeacherOfAverages(Lined):
    """Its teacher is hidden from `parameters()`, and follows at every call."""

    def setup(self) -> None:
        self.teacher = [copy.deepcopy(self.fc).requires_grad_(False)]

    def act(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            for mine, its in zip(self.fc.parameters(), self.teacher[0].parameters(), strict=True):
                its.lerp_(mine, 0.1)
        return x + self.teacher[0](x)


@hard
class LateSubmodules(Lined):
    def act(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "late"):
            self.late = nn.Linear(4, 4)
            self.add_module("with_buffer", nn.BatchNorm1d(4))
        out: torch.Tensor = self.with_buffer(self.late(x))
        return out


@hard
class RemovedParts(Lined):
    def setup(self) -> None:
        self.extra, self.unused = nn.Linear(4, 4), nn.Parameter(torch.zeros(2))
        self.register_buffer("old", torch.zeros(2))

    def act(self, x: torch.Tensor) -> None:
        for name in ("extra", "unused", "old"):
            if hasattr(self, name):
                delattr(self, name)


@hard
class ReorderedParts(Lined):
    def setup(self) -> None:
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.a, self.b = self.b, self.a
        self._modules.move_to_end("fc") if hasattr(self._modules, "move_to_end") else None
        self._modules["fc"] = self._modules.pop("fc")
        out: torch.Tensor = self.b(self.a(x))
        return out


@hard
class ReplacedParameter(Lined):
    def act(self, x: torch.Tensor) -> None:
        self.fc.weight = nn.Parameter(self.fc.weight.detach() * 0.9)
        self.fc.bias.data = torch.ones(4)


@hard
class FlippedFlags(Lined):
    def setup(self) -> None:
        self.norm, self.frozen = nn.BatchNorm1d(4), nn.Linear(4, 4).requires_grad_(False)
        self.drop = nn.Dropout(0.1)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.frozen.requires_grad_(True)
        self.norm.momentum = 0.7
        self.drop.p = 0.5
        self.norm.train(not self.norm.training)
        self.fc.bias.requires_grad_(False)
        out: torch.Tensor = self.norm(self.frozen(self.drop(x)))
        return out


@hard
class OwnHooks(Lined):
    def setup(self) -> None:
        self.seen: list[Any] = []
        self.fc.register_forward_hook(lambda module, args, out: self.seen.append(out.shape))
        self.handle: Any = self.fc.register_forward_pre_hook(self.once)
        self.fc.register_full_backward_hook(lambda module, into, out: self.seen.append(len(out)))
        self.register_state_dict_post_hook(lambda *_: None)

    def once(self, module: nn.Module, args: Any) -> None:
        self.handle.remove()

    def act(self, x: torch.Tensor) -> None:
        self.fc.register_forward_hook(lambda *_: None)


@hard
class HooksOnWeights(Lined):
    def setup(self) -> None:
        self.stepped: list[int] = []
        self.fc.weight.register_hook(lambda gradient: gradient * 1)
        self.fc.weight.register_post_accumulate_grad_hook(lambda parameter: self.stepped.append(1))
        self.fc.bias.register_post_accumulate_grad_hook(self.step)
        self.fc.weight.tag = ["new"]  # type: ignore[attr-defined]

    def step(self, parameter: torch.Tensor) -> None:
        with torch.no_grad():
            parameter -= parameter.grad
        parameter.grad = None

    def act(self, x: torch.Tensor) -> None:
        self.fc.weight.register_hook(lambda gradient: gradient)
        self.fc.bias.register_hook(lambda gradient: gradient)
        self.fc.weight.tag.append("used")  # type: ignore[attr-defined]
        self.fc.bias.more = x  # type: ignore[attr-defined]


@hard
class HooksComeAndGo(Lined):
    """The dicts of the hooks are made by the first one; removing the last leaves an empty dict behind."""

    def setup(self) -> None:
        self.handle: Any = self.fc.weight.register_post_accumulate_grad_hook(lambda parameter: None)
        self.gradient: Any = self.fc.weight.register_hook(lambda gradient: None)

    def act(self, x: torch.Tensor) -> None:
        self.handle.remove()
        self.gradient.remove()
        self.fc.bias.register_post_accumulate_grad_hook(lambda parameter: None)


@hard
def gradients_there() -> nn.Module:
    class Accumulated(Lined):
        def setup(self) -> None:
            self.fc.weight.grad = torch.ones(4, 4)
            self.fc.bias.grad = torch.zeros(4).as_subclass(torch.Tensor)

        def act(self, x: torch.Tensor) -> None:
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(2)

    return Accumulated()


@hard
def wrapped_like_ddp() -> nn.Module:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module, self.passes, self.require_sync = module, 0, True
            self.reducer = {id(p): torch.zeros_like(p) for p in module.parameters()}

        def forward(self, x: torch.Tensor) -> Any:
            self.passes += 1
            self.require_sync = not self.require_sync
            for parameter in self.module.parameters():
                if parameter.requires_grad:
                    parameter.register_hook(self.reduce)
            return self.module(x)

        def reduce(self, gradient: torch.Tensor) -> torch.Tensor:
            for bucket in self.reducer.values():
                bucket.add_(1)
            return gradient

    return Wrapper(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))


@hard
class ChangesClass(Lined):
    def setup(self) -> None:
        self.inner = nn.ReLU()

    def act(self, x: torch.Tensor) -> None:
        self.inner.__class__ = nn.Tanh  # type: ignore[assignment]


@hard
class CastsItself(Lined):
    def setup(self) -> None:
        self.register_buffer("scale", torch.ones(4))

    def act(self, x: torch.Tensor) -> None:
        self.double()
        self.float()
        self.half()
        self.to(x.dtype)


@hard
class SwappedForward(Lined):
    """Patches the forward of an instance, as adapters do."""

    def act(self, x: torch.Tensor) -> None:
        original = type(self.fc).forward
        self.fc.forward = lambda y: original(self.fc, y) * 2  # type: ignore[method-assign]
