"""What a model is fed: arguments, where they came from, and how to draw another batch of the same kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ArgumentOrigin:
    """Where one argument came from."""

    argument: str
    spec: str | None
    """Text in the little language that gives the argument again; None where it has no words for it."""
    why: str
    """`[B, 3, 32, 32]: 3 from conv1 (Conv2d), 32 solved for fc1.linear`."""
    confidence: str
    """high: declared, or wanted by a layer; medium: by its name; low: tried until it ran."""


@dataclass(frozen=True, slots=True)
class Saved:
    """Inputs of a target that were inferred earlier and written into the settings."""

    target: str
    model: str
    """Full path of the class, "package.module.Net"."""
    forward: str
    """What forward took then, "(x, mask=None)"."""
    inputs: Mapping[str, Any]
    """Argument -> text in the little language."""
    where: str = "the settings"
    """`gradhealth.yaml:12`."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Arguments for `model(*args, **kwargs)`."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "given"
    """One phrase for the report: "given", "declared by gradhealth_inputs()", "made up from conv1 (Conv2d)"."""
    made_up: bool = False
    batch: int | None = None
    """Size of the batch axis; None where there is none or it is not known."""
    resample: Callable[[int], Inputs] | None = None
    """seed -> another batch of the same shapes; None where this batch is the only one there is."""
    left_out: tuple[str, ...] = ()
    """Optional tensor arguments, and flags, that were not supplied: what only they reach gets no gradient."""
    fuller: Callable[[], Inputs | None] | None = None
    """The same with the arguments of `left_out` supplied, as many as run; None where none does."""
    provenance: tuple[ArgumentOrigin, ...] = ()
    """For each argument that was made up or given as text."""
    trials: int = 0
    """Forward passes that making it up took."""

    def another(self, seed: int) -> Inputs:
        """Another batch, or this one where no other can be drawn. Deterministic in `seed`."""
        return self.resample(seed) if self.resample is not None else self

    def alone(self) -> Inputs:
        """The same arguments, without the means to draw others, which belong to one check."""
        return dataclasses.replace(self, resample=None, fuller=None)

    def describe(self) -> str:
        """`float32[64, 3, 32, 32], mask=bool[64, 10]`."""
        parts = [_describe(value) for value in self.args]
        parts += [f"{name}={_describe(value)}" for name, value in self.kwargs.items()]
        return ", ".join(parts) or "no arguments"


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    dtype = getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{str(dtype).removeprefix('torch.')}{list(shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_describe(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        inside = ", ".join(_describe(item) for item in value)
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if type(value).__name__ == "SimpleNamespace":
        return "(" + ", ".join(f".{key}: {_describe(item)}" for key, item in vars(value).items()) + ")"
    return type(value).__name__
