"""What would be fed to a model, and why: the same synthesis as a check does, told line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradcheck_health.batch import Provenance
from gradcheck_health.config import Config, load, override
from gradcheck_health.overrides import names_of


@dataclass(frozen=True, slots=True)
class InferredInputs:
    """Inputs in words."""

    target: str | None
    """How a person named the model."""
    model: str
    """Full path of the class, "package.module.Net"."""
    forward: str
    """`(x, mask=None)`."""
    arguments: tuple[Provenance, ...]
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
    """Constructor arguments that nobody gave, and the values that were made up for them, in words."""

    @property
    def specs(self) -> dict[str, str] | None:
        """Argument -> text in the little language, to be given as `inputs=`; None where it has no words for one of them."""
        found = {entry.argument: entry.spec for entry in self.arguments if entry.spec is not None}
        return found if found and len(found) == len(self.arguments) else None


def infer_inputs(
    model: Any,
    inputs: Any = None,
    *,
    seed: int | None = None,
    batch_size: int | None = None,
    device: Any = None,
    dtype: Any = None,
    config: Config | None = None,
    target: str | None = None,
) -> InferredInputs:
    """Make up inputs and say where each came from. Nothing is judged, and what was saved earlier is not read.

    Arguments and errors as in `check_gradients`.
    """
    found = config if config is not None else load(names=names_of(model, target))
    settings = override(found, seed=seed, batch_size=batch_size, device=device, dtype=dtype)
    import dataclasses

    from gradcheck_health.examine import examined
    from gradcheck_health.inputs.facts import Facts
    from gradcheck_health.inputs.saved import class_path
    from gradcheck_health.inputs.signature import written
    from gradcheck_health.inputs.verify import reached_by

    settings = dataclasses.replace(settings, saved_inputs={})
    with examined(model, inputs, None, None, settings, target) as (subject, _):
        facts, fed = Facts(subject.model), subject.inputs
        reached, trainable = reached_by(facts, fed, settings.seed)
        return InferredInputs(
            target,
            class_path(facts),
            written(facts.signature),
            fed.provenance,
            fed.origin,
            fed.describe(),
            fed.left_out,
            fed.trials,
            len(reached),
            len(trainable),
            tuple(sorted(trainable - reached)),
        )
