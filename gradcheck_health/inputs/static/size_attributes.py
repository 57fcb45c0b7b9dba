"""Sizes that a model keeps in its attributes or its configuration: `img_size`, `seq_len`, `block_size`, `config.image_size`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

_SIDES = ("img_size", "image_size", "input_resolution", "resolution", "img_dim", "input_size", "size")
_LENGTHS = (
    "seq_len",
    "seq_length",
    "sequence_length",
    "input_len",
    "input_length",
    "lookback",
    "window_length",
    "context_length",
    "n_steps",
)
_LIMITS = (
    "block_size",
    "max_seq_len",
    "max_len",
    "max_length",
    "max_seq_length",
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
)
_CONFIGS = ("config", "cfg", "args", "hparams", "configs", "conf", "params")


def sizes(model: nn.Module, defaults: Mapping[str, int]) -> dict[str, int]:
    """H, W and T, where the model or its direct parts tell them."""
    found: dict[str, int] = {}
    parts = [model, *list(model.children())[:8]]
    for owner in _owners(parts):
        side = _first(owner, _SIDES, _sides)
        if side is not None and "H" not in found:
            found["H"], found["W"] = side
        length = _first(owner, _LENGTHS, _whole)
        if length is not None and "T" not in found and 1 < length <= 1024:
            found["T"] = length
        limit = _first(owner, _LIMITS, _whole)
        if limit is not None and "T" not in found and 1 < limit < defaults["T"]:
            found["T"] = limit
    return found


def _owners(parts: list[nn.Module]) -> Iterator[Any]:
    for part in parts:
        if not type(part).__module__.startswith("torch.nn."):  # whose input_size counts features
            yield part
        for name in _CONFIGS:
            value = vars(part).get(name)
            if value is not None and not isinstance(value, nn.Module | str | int | float | list | tuple):
                yield value


def _first(owner: Any, names: tuple[str, ...], read: Any) -> Any:
    for name in names:
        if isinstance(owner, Mapping):
            value = owner.get(name)
        elif isinstance(owner, nn.Module):
            value = vars(owner).get(name)
        else:
            try:
                value = getattr(owner, name, None)
            except Exception:  # noqa: BLE001 - a property of a foreign configuration
                value = None
        if (got := read(value)) is not None:
            return got
    return None


def _sides(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= 1024:
        return value, value
    if isinstance(value, tuple | list) and value and all(isinstance(side, int) and 4 <= side <= 1024 for side in value[-2:]):
        return (value[-2], value[-1]) if len(value) >= 2 else (value[0], value[0])
    return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
