"""What a file of weights showed, and how far they are from those of another file: plain numbers, no code of either was run."""

from __future__ import annotations

from dataclasses import dataclass

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".index.json")
"""Of files that hold weights, or, the last, say which files hold them."""


@dataclass(frozen=True, slots=True)
class SavedTensor:
    """One tensor of floating point numbers in a file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    norm: float
    """Over the finite entries."""
    nonfinite: int = 0
    """Entries that are NaN or Inf; 0 for a mask, whose entries are all 0 or all one value beside an infinity."""
    base: float | None = None
    """The norm in the other file; None where that has no such tensor."""
    moved: float | None = None
    """The norm of the difference; inf where one of them holds NaN or Inf."""


@dataclass(frozen=True, slots=True)
class SavedNorm:
    """A batch normalisation: scale, shift and running variance of its channels."""

    name: str
    channels: int
    dead: int
    """Channels that a ReLU behind it never lets through: all that is likely to reach them lies below zero."""


@dataclass(frozen=True, slots=True)
class SavedWeights:
    """The tensors of a file."""

    file: str
    tensors: tuple[SavedTensor, ...]
    norms: tuple[SavedNorm, ...] = ()
    against: str = ""
    """The other file; "" where there is none."""
    unmatched: int = 0
    """Tensors that only one of the two has, or that differ in shape."""

    @property
    def compared(self) -> tuple[SavedTensor, ...]:
        return tuple(one for one in self.tensors if one.base is not None and one.moved is not None)
