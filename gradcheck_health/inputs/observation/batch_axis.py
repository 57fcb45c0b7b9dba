"""Operations that show that the first axis of an argument is no batch: a walk along it, or a sum over groups of its rows."""

from __future__ import annotations

from typing import Any

import torch

_SPECTRA = ("fft_fft", "fft_rfft", "fft_ifft", "fft_irfft", "fft_hfft", "fft_ihfft")
_SUMS = ("cumsum", "cumprod", "logcumsumexp")
_RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_ATTENTION = ("multi_head_attention_forward", "scaled_dot_product_attention")
_GROUPING = ("index_add", "index_add_", "index_reduce", "index_reduce_", "scatter_add", "scatter_add_",
             "scatter_reduce", "scatter_reduce_")  # fmt: skip


def works_along(name: str, args: Any, kwargs: Any, source: torch.Tensor, layout: Any) -> bool:
    """Whether the operation `name` runs along the axis that an argument has first, as along the steps of a sequence.

    Args:
        source: the operand that comes from an argument.
        layout: which axis of the argument each of its axes is.
    """
    if layout is None or not args or args[0] is not source or not source.is_floating_point():
        return False
    if name in _SPECTRA or name in _SUMS:
        place = 2 if name in _SPECTRA else 1
        dim = kwargs.get("dim", args[place] if len(args) > place else -1)
    elif name == "linear" or name.startswith("conv") and name[-1] == "d":
        # features, or channels, of a tensor that has lost or never had its batch axis
        dim = (
            (-1 if source.dim() > 1 else None)
            if name == "linear"
            else -1 - int(name[-2])
            if source.dim() == int(name[-2]) + 1
            else None
        )
    elif name in _RECURRENT or name in _ATTENTION:
        # without a batch axis they take the first one of two for the steps
        dim = 0 if source.dim() == 2 else None
    else:
        return False
    return isinstance(dim, int) and -source.dim() <= dim < source.dim() and _first(layout[dim])


def _first(entry: Any) -> bool:
    return isinstance(entry, tuple) and entry[1] == 0


def grouping(name: str, args: Any, kwargs: Any) -> torch.Tensor | None:
    """The index by which the operation `name` sums rows in groups; None for other operations."""
    if name not in _GROUPING:
        return None
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    index = kwargs.get("index", args[2] if len(args) > 2 else None)
    rows = dim == 0 or isinstance(index, torch.Tensor) and dim == -index.dim()
    return index if rows and isinstance(index, torch.Tensor) else None
