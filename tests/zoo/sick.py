"""The zoo of sick models: one fault each, as people write them, with the rule that must fire and the place it must name."""

from __future__ import annotations

from tests.zoo import (
    sick_backwards,
    sick_choices,
    sick_constant,
    sick_cuts,
    sick_depths,
    sick_double_softmax,
    sick_flow,
    sick_future,
    sick_habits,
    sick_half,
    sick_identical,
    sick_initial_loss,
    sick_inside,
    sick_losses,
    sick_nonfinite,
    sick_paths,
    sick_samples,
    sick_steps,
    sick_time,
    sick_unbalanced,
    sick_units,
    sick_unregistered,
    sick_values,
    sick_wiring,
)
from tests.zoo.entry import sick_models

SICK = sick_models(
    sick_backwards,
    sick_choices,
    sick_constant,
    sick_cuts,
    sick_double_softmax,
    sick_flow,
    sick_future,
    sick_habits,
    sick_identical,
    sick_half,
    sick_initial_loss,
    sick_nonfinite,
    sick_paths,
    sick_samples,
    sick_time,
    sick_unbalanced,
    sick_units,
    sick_unregistered,
    sick_depths,
    sick_losses,
    sick_steps,
    sick_values,
    sick_wiring,
)
SICK_INSIDE = sick_models(sick_inside)
"""These need torchvision, timm or transformers."""
