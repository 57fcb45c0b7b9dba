"""What is known about a model before anything runs: its layers that tell what they want, its device, its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from gradcheck_health.inputs.plan import Group, Leaf
from gradcheck_health.inputs.static.counted_axes import names_steps
from gradcheck_health.inputs.static.first_use import first_use
from gradcheck_health.inputs.static.layer_inputs import entries
from gradcheck_health.inputs.static.signature import Signature, read
from gradcheck_health.inputs.static.step_counts import counts_steps

_SEQUENCE = re.compile(r"attention|attn|transformer|lstm|gru|rnn|recurrent|mamba|ssm|temporal|seq(?!uential)", re.I)
_CAP = 20_000


@dataclass(frozen=True)
class ModelInfo:
    """A model and what was read off it; computed once, on demand."""

    model: nn.Module
    stepwise: bool = False
    """The user said that it works along time steps."""

    @cached_property
    def signature(self) -> Signature:
        return read(self.model)

    @property
    def owner(self) -> nn.Module:
        return self.signature.owner

    @cached_property
    def entries(self) -> tuple[tuple[str, nn.Module, Leaf], ...]:
        """(name, layer, what it wants), in registration order."""
        return tuple(entries(self.owner))

    @cached_property
    def sequence(self) -> bool:
        """Something inside works along a sequence."""
        if self.stepwise:
            return True
        # the name of the model itself says less than its parts: a hand-made RNN cell takes one step
        kinds = {type(module).__name__ for module in list(self.owner.modules())[1:_CAP]}
        if any(_SEQUENCE.search(kind) for kind in kinds) or re.search("attention|transformer", type(self.owner).__name__, re.I):
            return True
        by_class = {type(module): module for module in list(self.owner.modules())[:_CAP]}
        return any(names_steps(module) for module in by_class.values())

    def use(self, argument: str) -> Leaf | Group | None:
        """What the first layer that takes this argument wants, read from the source."""
        if argument not in self._uses:
            self._uses[argument] = first_use(self.owner, argument)
        return self._uses[argument]

    @cached_property
    def _uses(self) -> dict[str, Leaf | Group | None]:
        return {}

    def counts_steps(self, argument: str) -> bool:
        """The argument says how many steps of each sequence count."""
        if argument not in self._counting:
            self._counting[argument] = counts_steps(self.owner, argument)
        return self._counting[argument]

    @cached_property
    def _counting(self) -> dict[str, bool]:
        return {}

    @cached_property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Parameters and buffers; lazy ones too."""
        return tuple(self._each_tensor())

    def _each_tensor(self) -> Iterator[torch.Tensor]:
        yield from self.model.parameters()
        yield from self.model.buffers()

    @cached_property
    def device(self) -> torch.device:
        return next((tensor.device for tensor in self._each_tensor()), torch.get_default_device())

    @cached_property
    def dtype(self) -> torch.dtype:
        """Of the first floating parameter of at least 16 bits; the default dtype without one."""
        for tensor in self._each_tensor():
            if tensor.is_complex():
                continue
            if tensor.is_floating_point() and tensor.dtype.itemsize >= 2:
                return tensor.dtype
        return torch.get_default_dtype()

    @cached_property
    def recurrent(self) -> tuple[nn.Module, ...]:
        return tuple(m for m in self.owner.modules() if isinstance(m, nn.RNNBase | nn.RNNCellBase))

    def first(self, *kinds: str) -> Leaf | None:
        """What the first layer of one of these kinds wants: "Conv", "Embedding", "Linear"."""
        for _, module, leaf in self.entries:
            if any(kind in type(module).__name__ for kind in kinds):
                return leaf
        return None

    def named(self, argument: str) -> Leaf | None:
        """What the first layer wants whose path shares most words with the argument's name."""
        words = set(split(argument))
        best: tuple[int, Leaf] | None = None
        for name, _, leaf in self.entries:
            score = len(words & set(split(name)))
            if score and (best is None or score > best[0]):
                best = (score, leaf)
        return best[1] if best else None


_NOISE = {
    "0", "1", "2", "a", "b", "block", "conv", "data", "embed", "embedding", "encoder", "fc", "feature", "features",
    "id", "ids", "in", "input", "inputs", "layer", "layers", "model", "net", "proj", "self", "tensor", "values",
    "weight", "x",
}  # fmt: skip


def split(name: str) -> list[str]:
    """`user_ids`, `userIds` and `users` share the word `user`."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name.replace(".", "_"))
    lowered = [word.lower() for word in words]
    return [word.rstrip("s") or word for word in lowered if word not in _NOISE]
