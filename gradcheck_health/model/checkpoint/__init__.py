"""Weights from a file into a model that was built: every name, shape and dtype has to fit, and no code of the file is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from gradcheck_health.model.checkpoint import fitting, reading
from gradcheck_health.records.errors import UsageError, describe_error


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the weights are."""

    file: str
    """`.safetensors`, `.pt`, `.pth`, `.bin` or `.ckpt`, or the index of shards, `.index.json`."""
    key: str | None = None
    """Under which the file holds them, where it holds more; "state_dict" or "ema.model"."""
    prefix: str = ""
    """What their names begin with and those of the model do not, "model."; other names of the file are not examined."""

    @classmethod
    def of(cls, given: str | Mapping[str, str]) -> Checkpoint:
        """Out of a setting: the name of a file, or a table."""
        return cls(given) if isinstance(given, str) else cls(given["file"], given.get("key"), given.get("prefix", ""))

    def as_options(self) -> dict[str, str]:
        """Name of an option of the command line -> its value."""
        found = {"checkpoint": self.file, "checkpoint-key": self.key, "checkpoint-prefix": self.prefix}
        return {name: value for name, value in found.items() if value}


def load(model: nn.Module, checkpoint: Checkpoint, *, convert: bool = False) -> None:
    """Copy the weights of the file into the model.

    Args:
        convert: to the floating dtypes that the model has; otherwise those of the file have to be the same.

    Raises:
        UsageError: the file cannot be read, holds no tensors where they were searched for, or they do not fit; with all that is
            wrong at once. The model may hold some of the weights by then.
    """
    held = reading.read(checkpoint.file)
    tensors = fitting.chosen(held, checkpoint.file, checkpoint.key, model)
    fitting.check(tensors, checkpoint.file, checkpoint.prefix, model, convert=convert)
    names = fitting.real_names(model)
    state: dict[str, Any] = {}
    for name, value in fitting.without(checkpoint.prefix, tensors).items():
        state[names.get(name, name)] = value
    try:
        result = model.load_state_dict(state, strict=False)
    except Exception as error:  # hooks of the model's own, and layers that refuse what the file says
        raise UsageError(
            f"checkpoint {checkpoint.file}: {type(model).__name__} does not take it: {describe_error(error)}"
        ) from error
    missing, unexpected = (list(getattr(result, kind, ())) for kind in ("missing_keys", "unexpected_keys"))
    fitting.check_names(missing, unexpected, tensors, checkpoint.file, model)


def tensors(file: str) -> tuple[Mapping[str, Any], str]:
    """The tensors of a file that no model is there for, and the key under which they stand: at its top, or the most of them.

    Raises:
        UsageError: the file cannot be read, or holds no tensors.
    """
    return fitting.most(reading.read(file), file)
