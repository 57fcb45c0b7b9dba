"""The hand-written zoo of sound models: every kind of net that a check was once wrong about."""

from __future__ import annotations

from tests.zoo import (
    sound_adapters,
    sound_architectures,
    sound_deep,
    sound_equal_rows,
    sound_estimators,
    sound_fields,
    sound_generative,
    sound_inhabited,
    sound_leaves,
    sound_losses,
    sound_norms,
    sound_numerics,
    sound_routing,
    sound_softmaxes,
    sound_stateful,
    sound_structured,
    sound_targets,
    sound_tokens,
    sound_unrolled,
    sound_wrappers,
    sound_zero_init,
)
from tests.zoo.entry import sound_models

SOUND = sound_models(
    sound_adapters,
    sound_architectures,
    sound_deep,
    sound_equal_rows,
    sound_estimators,
    sound_fields,
    sound_generative,
    sound_inhabited,
    sound_leaves,
    sound_losses,
    sound_norms,
    sound_numerics,
    sound_routing,
    sound_softmaxes,
    sound_stateful,
    sound_structured,
    sound_targets,
    sound_tokens,
    sound_unrolled,
    sound_wrappers,
    sound_zero_init,
)
