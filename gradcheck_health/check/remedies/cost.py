"""What a model costs in operations: those of its matrix products and convolutions, which outweigh everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gradcheck_health.model.call import call
from gradcheck_health.probe.subject import Subject


def operations(subject: Subject) -> int | None:
    """Of one forward pass, a product and a sum counted as two; None where none is seen. Call it inside a sandbox."""
    with (counter := _Counter()):
        call(subject.model, subject.inputs, subject.seed)
    return counter.count or None


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """torch's own formulas, without the counter that goes with them: that one imports the compiler, which takes seconds."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        formula = _FUSED.get(str(packet)) or flop_registry.get(packet)
        if formula is None:
            with self:  # what is made of other operations is counted by them
                made = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if made is NotImplemented else made
        out = func(*args, **kwargs)
        self.count += int(formula(*args, **kwargs, out_val=out))
        return out


def _one_layer(x: torch.Tensor, enter: torch.Tensor, state: torch.Tensor, *_: Any, **__: Any) -> int:
    """One direction of one layer; time is its first axis, samples the second."""
    return 2 * x.shape[0] * x.shape[1] * (enter.numel() + state.numel())


def _all_layers(x: torch.Tensor, weights: Sequence[torch.Tensor], *_: Any, **__: Any) -> int:
    return 2 * x.shape[0] * x.shape[1] * sum(one.numel() for one in weights if one.dim() == 2)


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> int:
    """The scores, and the values weighted by them; [batch, heads, positions, width]."""
    batch, heads, length, width = query.shape
    return 2 * batch * heads * length * key.shape[-2] * (width + value.shape[-1])


_FUSED: Mapping[str, Callable[..., int]] = {
    "aten.mkldnn_rnn_layer": _one_layer,
    "aten._cudnn_rnn": _all_layers,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
}
"""Kernels that torch has no formulas for."""
