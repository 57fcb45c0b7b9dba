"""How far a few steps of an optimizer move the output of each layer, on one batch: the coordinate check at one width."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.names import layer_names
from gradcheck_health.model.nest import tensors
from gradcheck_health.model.wrappers import unwrap


class Outputs:
    """The first and the last output of every layer while it is watched, and of the model under "".

    Where forward does something to the output of its last layer (muP multiplies by 1 / width), the model's own output stands
    for that of the layer.
    """

    def __init__(self, model: nn.Module) -> None:
        names = layer_names(model)
        self.layers = {names[id(one)]: one for one in model.modules() if id(one) in names and not list(one.children())}
        self.first: dict[str, torch.Tensor] = {}
        self.last: dict[str, torch.Tensor] = {}
        self._seen: dict[str, torch.Tensor] = {}

    @contextlib.contextmanager
    def watched(self, model: nn.Module) -> Iterator[Outputs]:
        handles = [layer.register_forward_hook(self._keep(name)) for name, layer in self.layers.items()]
        handles.append(model.register_forward_pre_hook(lambda *_: self._seen.clear()))
        handles.append(model.register_forward_hook(self._finish))
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self._seen.clear()

    def _keep(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            found = _first(output)
            if found is not None and name not in self._seen:  # of a layer that is used several times, its first use
                self._seen[name] = found

        return hook

    def _finish(self, module: nn.Module, args: Any, output: Any) -> None:
        found, seen = _first(output), dict(self._seen)
        if found is not None and seen and found is not list(seen.values())[-1]:
            seen.popitem()
            seen[""] = found
        self._seen.clear()
        for name, tensor in seen.items():
            held = self.last if name in self.first else self.first
            held[name] = tensor.detach().clone()

    def changes(self) -> dict[str, float]:
        """Layer -> root mean square of the difference; layers whose output has another shape now are left out."""
        pairs = [(name, self.first[name], self.last[name]) for name in self.last]
        return {
            name: float((after.double() - before.double()).square().mean().sqrt())
            for name, before, after in pairs
            if before.shape == after.shape and before.numel()
        }


def output_changes(model: nn.Module, train: Callable[[], Any]) -> dict[str, float]:
    """What `train` does to the outputs between its first forward pass and its last.

    Args:
        train: takes steps on one batch; it puts the model back as it was.
    """
    inner = unwrap(model)
    with Outputs(inner).watched(inner) as outputs:
        train()
    return outputs.changes()


def kinds(model: nn.Module) -> dict[str, str]:
    """Layer -> its class."""
    inner = unwrap(model)
    return {"": type(inner).__name__} | {name: type(layer).__name__ for name, layer in Outputs(inner).layers.items()}


def _first(output: Any) -> torch.Tensor | None:
    found = (one for one in tensors(output) if one.is_floating_point() and one.layout is torch.strided)
    return next(found, None)
