"""A fast test for the common kind of tensor: of torch's own class, strided, on the CPU.

Models have very many tensors, and asking each for layout, conjugation, transforms and device costs more than saving its bytes.
Torch keeps all of that in one set of dispatch keys, so that one comparison answers every question.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parameter import is_lazy

TENSORS = frozenset((torch.Tensor, nn.Parameter, nn.Buffer))
"""Classes whose tensors are what they seem: a subclass may wrap others."""
_keys = torch._C._dispatch_keys
_DENSE = _keys(torch.empty(0, device="cpu"))
"""Neither sparse nor quantised, nothing to conjugate or negate, no transform around it."""


def is_dense(tensor: torch.Tensor) -> bool:
    """Of torch's own class, strided, on the CPU; its entries are the bytes that it points to."""
    return type(tensor) in TENSORS and _keys(tensor) == _DENSE


def size(tensor: torch.Tensor) -> int:
    """Bytes, where it can say so."""
    return tensor.nbytes if tensor.layout == torch.strided and not is_lazy(tensor) and not tensor.is_nested else 0
