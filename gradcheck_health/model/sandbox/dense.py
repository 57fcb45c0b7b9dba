"""Dense tensors in the memory of this process: what holds for most of them takes one look, where models have very many."""

from __future__ import annotations

import torch
from torch import nn

TENSORS = frozenset((torch.Tensor, nn.Parameter, nn.Buffer))
"""Classes that hide nothing."""
_keys = torch._C._dispatch_keys
_DENSE = _keys(torch.empty(0, device="cpu"))
"""Neither sparse nor quantised, nothing to conjugate or negate, no transform around it."""


def is_dense(tensor: torch.Tensor) -> bool:
    """Of torch's own class, strided, on the CPU; its entries are the bytes that it points to."""
    return type(tensor) in TENSORS and _keys(tensor) == _DENSE
