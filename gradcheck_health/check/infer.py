"""What would be fed to a model, and why: the same synthesis as a check does, by itself or told line by line."""

from __future__ import annotations

from typing import Any

from gradcheck_health.records.inferred import InferredInputs
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.overrides import names_of
from gradcheck_health.settings.resolution import load, override


def make_inputs(
    model: Any,
    inputs: Any = None,
    *,
    seed: int | None = None,
    batch_size: int | None = None,
    device: Any = None,
    dtype: Any = None,
    config: Config | None = None,
) -> Inputs:
    """Arguments on which the model runs forward and backward: `model(*made.args, **made.kwargs)`. Nothing is judged.

    Made up as for a check, and by the same arguments: what is given in part is completed, `seed` decides every draw.
    `made.another(7)` is another batch of the same kind, `made.provenance` says where each argument came from.

    Raises:
        InputInferenceError: nothing could be made up; the message says how to give it.
        UsageError, ModelError: as in `check_gradients`.
    """
    found = config if config is not None else load(names=names_of(model, None))
    settings = override(found, seed=seed, batch_size=batch_size, device=device, dtype=dtype)
    import dataclasses

    from gradcheck_health.check.prepare import prepared
    from gradcheck_health.records.training import Training

    with prepared(Training.of(model, inputs), settings) as (subject, _):
        return dataclasses.replace(subject.inputs, fuller=None)


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

    from gradcheck_health.check.prepare import prepared
    from gradcheck_health.inputs.given.saved import class_path
    from gradcheck_health.inputs.given.verify import reached_by
    from gradcheck_health.inputs.static.model_info import ModelInfo
    from gradcheck_health.inputs.static.signature import written
    from gradcheck_health.records.training import Training

    settings = dataclasses.replace(settings, saved_inputs={})
    with prepared(Training.of(model, inputs), settings, target) as (subject, _):
        info, fed = ModelInfo(subject.model), subject.inputs
        reached, trainable = reached_by(info, fed, settings.seed)
        return InferredInputs(
            target,
            class_path(info),
            written(info.signature),
            fed.provenance,
            fed.origin,
            fed.describe(),
            fed.left_out,
            fed.trials,
            len(reached),
            len(trainable),
            tuple(sorted(trainable - reached)),
        )
