"""The zoo of sick models: one fault each, as people write them, with the rule that must fire and the place it must name."""

from __future__ import annotations

from tests.zoo.entry import sick_models
from tests.zoo.sick import (
    backwards,
    choices,
    constant,
    cuts,
    depths,
    double_softmax,
    flow,
    future,
    habits,
    half,
    identical,
    initial_loss,
    inside,
    losses,
    nonfinite,
    paths,
    samples,
    steps,
    time,
    unbalanced,
    units,
    unregistered,
    values,
    wiring,
)

SICK = sick_models(
    backwards,
    choices,
    constant,
    cuts,
    double_softmax,
    flow,
    future,
    habits,
    identical,
    half,
    initial_loss,
    nonfinite,
    paths,
    samples,
    time,
    unbalanced,
    units,
    unregistered,
    depths,
    losses,
    steps,
    values,
    wiring,
)
SICK_INSIDE = sick_models(inside)
"""These need torchvision, timm or transformers."""
