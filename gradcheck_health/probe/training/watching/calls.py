"""What the model of a loop is called with, the loss that it returns itself, and which direction the loop's loss asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.nest import leaves
from gradcheck_health.records.inputs import Inputs


class Calls:
    """A hook on the root of the model: two references a call. What it costs more is asked for with `arm`, for one step."""

    def __init__(self, model: nn.Module, own_loss: Callable[[Any], None]) -> None:
        self._model, self._own_loss = model, own_loss
        self._last: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._returns_loss = False
        self._handles: list[Any] = []
        self._armed: list[Any] = []
        self._output: list[torch.Tensor] = []
        self._directions: dict[int, torch.Tensor] = {}
        """Position among the outputs -> the gradient of the loop's loss there."""
        self._criterion: tuple[nn.Module, tuple[Any, ...]] | None = None

    def start(self) -> None:
        self._handles.append(self._model.register_forward_hook(self._forward, with_kwargs=True))

    def stop(self) -> None:
        self.disarm()
        while self._handles:
            self._handles.pop().remove()
        self._last = None

    @property
    def armed(self) -> bool:
        return bool(self._armed)

    def arm(self) -> None:
        """Remember what the next calls give to their loss."""
        if not self._armed:
            self._armed = [nn.modules.module.register_module_forward_hook(self._called)]

    def disarm(self) -> None:
        while self._armed:
            self._armed.pop().remove()
        self._output, self._criterion = [], None
        self._directions = {}

    def inputs(self) -> Inputs | None:
        """What the last call that was made to train was given; None where there was none."""
        if self._last is None:
            return None
        args, kwargs = self._last
        first = next((leaf.tensor for leaf in leaves((args, kwargs)) if leaf.tensor.dim()), None)
        return Inputs(args, kwargs, origin="the loop's last batch", batch=None if first is None else len(first))

    def objective(self) -> Callable[[Any], torch.Tensor] | None:
        """The loop's own loss as a function of the output, or its slope there.

        None where the model returns its loss, or nothing is known.
        """
        if self._returns_loss:
            return None
        if self._criterion is not None:
            criterion, rest = self._criterion
            return lambda output: criterion(next(leaf.tensor for leaf in leaves(output) if leaf.differentiable), *rest)
        directions = dict(self._directions)
        return (lambda output: _along(output, directions)) if directions else None

    @property
    def knows_loss(self) -> bool:
        """The objective is the loss itself, not its slope."""
        return self._returns_loss or self._criterion is not None

    def _forward(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not torch.is_grad_enabled():
            return
        self._last = (args, kwargs)
        if type(output) is torch.Tensor and not self._armed:
            self._returns_loss = False
            return
        value = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        self._returns_loss = isinstance(value, torch.Tensor) and value.numel() == 1 and value.requires_grad
        if self._returns_loss:
            self._own_loss(value)
        elif self._armed:
            self._directions, self._criterion = {}, None
            self._output = [leaf.tensor for leaf in leaves(output) if leaf.differentiable]
            for place, tensor in enumerate(self._output):
                tensor.register_hook(lambda gradient, place=place: self._note(place, gradient))  # type: ignore[no-untyped-call]

    def _note(self, place: int, gradient: torch.Tensor) -> None:
        self._directions[place] = gradient.detach()

    def _called(self, module: nn.Module, args: tuple[Any, ...], _: Any) -> None:
        if isinstance(module, nn.modules.loss._Loss) and args and any(args[0] is one for one in self._output[:1]):
            self._criterion = (module, tuple(one.detach() if isinstance(one, torch.Tensor) else one for one in args[1:]))


def _along(output: Any, directions: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """The output in the direction that the loss pulled it: the same gradient at the parameters, whatever the loss was."""
    tensors = [leaf.tensor for leaf in leaves(output) if leaf.differentiable]
    parts = []
    for place, direction in directions.items():
        tensor = tensors[place]
        fitted = direction[: len(tensor)] if tensor.dim() and direction.shape != tensor.shape else direction
        parts.append((tensor * fitted.to(tensor.device, tensor.dtype)).sum())
    return torch.stack([one.real if one.is_complex() else one for one in parts]).sum()
