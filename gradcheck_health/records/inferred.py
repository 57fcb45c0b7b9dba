"""The result of `gradhealth infer`: the inputs that a check would make up for a model, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gradcheck_health.records.inputs import ArgumentOrigin


@dataclass(frozen=True, slots=True)
class InferredInputs:
    """Inputs in words."""

    target: str | None
    """How the user named the model."""
    model: str
    """Full path of the class, "package.module.Net"."""
    forward: str
    """`(x, mask=None)`."""
    arguments: tuple[ArgumentOrigin, ...]
    origin: str
    description: str
    """`float32[64, 3, 32, 32]`."""
    left_out: tuple[str, ...]
    """Optional tensor arguments that were not supplied."""
    trials: int
    """Forward passes that it took."""
    reached: int
    """Trainable parameters behind the output."""
    trainable: int
    unreached: tuple[str, ...] = ()
    """Names of the others."""
    made_up_arguments: Mapping[str, str] = field(default_factory=dict)
    """Constructor arguments that were not given, and the values that were made up for them, in words."""

    @property
    def specs(self) -> dict[str, str] | None:
        """Argument -> text in the little language, to be given as `inputs=`; None where it has no words for one of them."""
        found = {entry.argument: entry.spec for entry in self.arguments if entry.spec is not None}
        return found if found and len(found) == len(self.arguments) else None
