"""What happens in a step of the user's own, in its order: backward, unscale, clip, step.

Gradients are followed by public hooks; `clip_grad_norm_` and the like by a function mode, which also sees `backward` begin.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.source.lines import user_line
from gradcheck_health.probe.training import measure
from gradcheck_health.probe.training.loss_scale import last_factor
from gradcheck_health.probe.training.observer import held
from gradcheck_health.records.step import StepEvent

_CLIPS = {
    "clip_grad_norm_": ("norm", "max_norm"),
    "clip_grad_value_": ("value", "clip_value"),
    "_clip_grads_with_norm_": ("norm", "max_norm"),
}
"""torch's functions, whether they bound a norm or a value, and the argument that is the bound."""
_INSIDE_CLIP = frozenset(
    {"_set_grad_enabled", "_foreach_norm", "tensor", "linalg_vector_norm", "_foreach_clamp_min_", "_foreach_mul_"}
)
_BY_HAND = frozenset({"clamp_", "clip_"})
_RESCALES = frozenset({"mul_", "div_", "_foreach_mul_", "_foreach_div_"})


class Events(TorchFunctionMode):
    """The events of one call of a step; `taken` is called by the observer when an optimizer begins its step."""

    def __init__(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__()
        self._model, self._forwards = model, 0
        self.seen: list[StepEvent] = []
        self.rescaled = False
        """Gradients were multiplied by hand since the last step."""
        self._group_of: dict[int, int] = {}
        for count, group in enumerate(group for optimizer in optimizers for group in optimizer.param_groups):
            self._group_of.update({id(p): count for p in group["params"]})
        known = {
            id(p): p
            for p in (*model.parameters(), *(p for one in optimizers for p in held(one)))
            if p.requires_grad and p.is_leaf
        }
        self._parameters = list(known.values())
        self._stepped: set[int] = set()
        """Parameters whose gradient a step has used and nobody has cleared since."""
        self._stale: set[int] = set()
        """Of those, the ones that a further backward has added to."""
        self._open: set[int] | None = None
        """Parameters that the backward which is running has reached."""
        self._clip: FrameType | None = None
        self._handles: list[Any] = []

    def __enter__(self) -> Any:
        self._handles = [p.register_post_accumulate_grad_hook(self._arrived) for p in self._parameters]  # type: ignore[no-untyped-call]
        self._handles.append(self._model.register_forward_pre_hook(self._forward))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> Any:
        while self._handles:
            self._handles.pop().remove()
        self._clip = None
        return super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        if name == "backward":
            self._begin(args[0] if args and isinstance(args[0], torch.Tensor) else None)
        elif name == "_amp_foreach_non_finite_check_and_unscale_":
            self._note(StepEvent("unscale", groups=self._groups(self._with_gradient())))
        elif name in _INSIDE_CLIP:
            self._look_for_clip()
        elif name in _BY_HAND and args and self._is_gradient(args[0]):
            self._clipped_by_hand(args, kwargs or {})
        if name in _RESCALES and self._clip is None and args and self._is_gradient(args[0]):
            self.rescaled = True
        return func(*args, **(kwargs or {}))

    def taken(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer begins its step."""
        own = [p for p in held(optimizer) if p.grad is not None]
        stale = [p for p in own if id(p) in self._stale]
        groups = tuple(sorted({self._group_of.get(id(p), -1) for p in held(optimizer)}))
        pushed = _nonzero(own)
        event = StepEvent("step", user_line(), groups, len(pushed), len(stale), by=type(optimizer).__name__)
        self._note(event)
        self._stepped.update(id(p) for p in pushed)

    def _begin(self, loss: torch.Tensor | None) -> None:
        """A backward pass begins: gradients that are there now have not been cleared."""
        with_gradient = {id(p) for p in _nonzero([p for p in self._parameters if p.grad is not None])}
        self._stepped &= with_gradient
        self._stale &= with_gradient
        factor, mean = (1.0, False) if loss is None else last_factor(loss)
        self._open = set()
        self.seen.append(StepEvent("backward", user_line(), factor=factor, mean=mean, forwards=self._forwards))
        self._forwards = 0

    def _forward(self, *_: Any) -> None:
        self._forwards += 1

    def _arrived(self, parameter: torch.Tensor) -> None:
        if self._open is None or id(parameter) in self._open:  # torch.autograd.backward, which no mode sees
            self._open = set()
            self.seen.append(StepEvent("backward", user_line()))
        self._open.add(id(parameter))
        if id(parameter) in self._stepped:
            self._stale.add(id(parameter))
        last = max(i for i, event in enumerate(self.seen) if event.kind == "backward")
        groups = {*self.seen[last].groups, self._group_of.get(id(parameter), -1)}
        self.seen[last] = dataclasses.replace(
            self.seen[last], parameters=self.seen[last].parameters + 1, groups=tuple(sorted(groups))
        )

    def _note(self, event: StepEvent) -> None:
        self._open = None
        self.seen.append(event)

    def _look_for_clip(self) -> None:
        frame: FrameType | None = sys._getframe(2)
        found = None
        for _ in range(8):
            if frame is None:
                break
            if frame.f_code.co_name in _CLIPS and frame.f_code.co_filename.endswith("clip_grad.py"):
                found = frame
            frame = frame.f_back
        if found is None or found is self._clip:
            self._clip = found
            return
        self._clip = found
        by, bound = _CLIPS[found.f_code.co_name]
        given = found.f_locals.get("parameters")
        tensors = [given] if isinstance(given, torch.Tensor) else list(given) if isinstance(given, list | tuple) else []
        if not tensors:  # a generator, which it has gone through
            gradients = {id(one) for one in found.f_locals.get("grads", ())}
            tensors = [p for p in self._parameters if id(p.grad) in gradients]
        self._clipped(tensors, by, float(found.f_locals.get(bound, 0.0)))

    def _clipped(self, tensors: Sequence[torch.Tensor], by: str, limit: float) -> None:
        gradients = [p.grad for p in tensors if p.grad is not None]
        norm = None
        if gradients:
            sizes = measure.norms(gradients) if by == "norm" else [float(one.detach().abs().max()) for one in gradients]
            norm = sum(size**2 for size in sizes) ** 0.5 if by == "norm" else max(sizes)
        self._note(StepEvent("clip", user_line(), self._groups(tensors), len(gradients), norm=norm, limit=limit, by=by))

    def _clipped_by_hand(self, args: Any, kwargs: Any) -> None:
        bounds = [*args[1:], *kwargs.values()]
        limit = max((abs(float(one)) for one in bounds if isinstance(one, int | float)), default=0.0)
        of = [p for p in self._parameters if p.grad is not None and p.grad.data_ptr() == args[0].data_ptr()]
        line = user_line()
        last = self.seen[-1] if self.seen else None
        if last is None or last.kind != "clip" or last.source != line:  # one for a loop over the parameters
            self._clipped(of, "value", limit)
            self.seen[-1] = dataclasses.replace(self.seen[-1], source=line)
        else:
            self.seen[-1] = dataclasses.replace(
                last, groups=tuple(sorted({*last.groups, *self._groups(of)})), parameters=last.parameters + len(of)
            )

    def _with_gradient(self) -> list[torch.Tensor]:
        return [p for p in self._parameters if p.grad is not None]

    def _is_gradient(self, value: Any) -> bool:
        tensors = value if isinstance(value, list | tuple) else [value]
        if not tensors or not isinstance(tensors[0], torch.Tensor) or tensors[0].layout != torch.strided:
            return False
        address = tensors[0].data_ptr()
        return any(
            p.grad is not None and p.grad.layout == torch.strided and p.grad.data_ptr() == address for p in self._parameters
        )

    def _groups(self, tensors: Sequence[torch.Tensor]) -> tuple[int, ...]:
        return tuple(sorted({self._group_of.get(id(p), -1) for p in tensors}))


def _nonzero(parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Those whose gradient is not all zeros."""
    sizes = measure.norms([p.grad for p in parameters if p.grad is not None])
    return [p for p, size in zip(parameters, sizes, strict=True) if size != 0]
