"""Sound models that bring something along: hooks, locks, scripts, packed sequences, transforms, unusual outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tests.zoo.entry import Built, sound


class WithLock(nn.Module):
    """Holds what cannot be copied: a lock, a closure, and a tensor of an old graph."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        self.lock = threading.Lock()
        self.scale: Callable[[Tensor], Tensor] = lambda x: 2 * x
        self.last: Tensor | None = self.net[0].weight.sum()

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.last = self.net(self.scale(x))
            return self.last


@sound
def holds_a_lock_and_a_graph() -> Built:
    return WithLock(), torch.randn(16, 8)


@sound
def hooks_of_its_own() -> Built:
    """Gradient clipping by a tensor hook, features collected by a forward hook, a full backward hook."""
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    features: list[Tensor] = []
    model[0].weight.register_hook(lambda gradient: gradient.clamp(-1, 1))
    model[1].register_forward_hook(lambda module, args, out: features.append(out.detach()))
    model[2].register_full_backward_hook(lambda module, before, after: None)
    return model, torch.randn(16, 8)


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 16)
        self.block = torch.jit.script(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)))
        self.leave = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.block(torch.relu(self.enter(x))))


@sound
def scripted_block() -> Built:
    return Scripted(), torch.randn(16, 8)


class Packed(nn.Module):
    """Sequences of different lengths, packed."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])


@sound
def packed_sequences() -> Built:
    return Packed(), (torch.randn(8, 10, 8), torch.tensor([10, 7, 3, 5, 9, 2, 4, 8]))


class PackedOut(Packed):
    def forward(self, x: Tensor, lengths: Tensor) -> PackedSequence:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out = self.lstm(packed)[0]
        return out._replace(data=self.head(out.data))


@sound
def packed_output() -> Built:
    return PackedOut(), (torch.randn(8, 10, 8), torch.tensor([10, 7, 3, 5, 9, 2, 4, 8]))


class Ensemble(nn.Module):
    """Four nets in one, by vmap over their stacked weights."""

    def __init__(self) -> None:
        super().__init__()
        nets = [nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2)) for _ in range(4)]
        stacked, _ = stack_module_state(nets)
        self.names = list(stacked)
        self.weights = nn.ParameterList(nn.Parameter(value.detach().clone()) for value in stacked.values())
        self.skeleton = [nets[0].to("meta")]

    def forward(self, x: Tensor) -> Tensor:
        def one(weights: dict[str, Tensor]) -> Tensor:
            return functional_call(self.skeleton[0], weights, (x,))

        return vmap(one)(dict(zip(self.names, self.weights, strict=True)))


@sound
def ensemble_by_vmap() -> Built:
    return Ensemble(), torch.randn(16, 8)


@dataclass
class Prediction:
    mean: Tensor
    extra: dict[str, Any]


class Dataclassed(nn.Module):
    """Returns a dataclass with a dict inside."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.scale = nn.Linear(8, 16), nn.Linear(16, 2), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Prediction:
        h = torch.relu(self.body(x))
        return Prediction(self.mean(h), {"scale": F.softplus(self.scale(h)), "name": "normal", "batch": len(x)})


@sound
def returns_a_dataclass() -> Built:
    return Dataclassed(), torch.randn(16, 8)


@sound
def lazy_layers() -> Built:
    model = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    x = torch.randn(8, 3, 8, 8)
    model(x)
    return model, x


class Siblings(nn.Module):
    """One layer under two names, one norm in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16)
        self.again = self.first
        self.norm = nn.LayerNorm(16)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(16, 16), self.norm), nn.Sequential(nn.Linear(16, 16), self.norm)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(torch.relu(self.first(x)))
        for block in self.blocks:
            x = x + torch.relu(block(x))
        return x


@sound
def one_layer_under_two_names() -> Built:
    return Siblings(), torch.randn(16, 16)


@sound
def old_weight_norm() -> Built:
    """The weight norm that works by a hook, as many vocoders still have it."""
    layers = [nn.utils.weight_norm(nn.Conv1d(8, 8, 3, padding=1)) for _ in range(3)]
    return nn.Sequential(layers[0], nn.LeakyReLU(0.1), layers[1], nn.LeakyReLU(0.1), layers[2]), torch.randn(8, 8, 16)


@sound
def inputs_that_require_grad() -> Built:
    """An adversarial example's setting: the input is a leaf, too."""
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), torch.randn(16, 8, requires_grad=True)
