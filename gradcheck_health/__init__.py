"""Gradient health checks for PyTorch models, in the style of pytest.

`assert_gradients_healthy(model)` is all that a unit test needs. Names are loaded on first use (PEP 562), so that importing
this package, which pytest does at every start, costs no import of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck_health.check.api import assert_gradients_healthy, check_gradients
    from gradcheck_health.check.infer import make_inputs
    from gradcheck_health.check.scale.api import check_scale
    from gradcheck_health.check.step import assert_step_healthy, check_step
    from gradcheck_health.check.watch.trains import assert_trains, check_trains
    from gradcheck_health.check.watch.watch import watch
    from gradcheck_health.records.errors import (
        GradhealthError,
        GradientHealthWarning,
        InputInferenceError,
        InputsError,
        ModelError,
        NothingToCheckError,
        RankError,
        UsageError,
    )
    from gradcheck_health.records.finding import Finding, Need, Place, Severity
    from gradcheck_health.records.history import History
    from gradcheck_health.records.inputs import Inputs
    from gradcheck_health.records.report import Report, UnhealthyGradientsError
    from gradcheck_health.records.scale import Sweep
    from gradcheck_health.records.trace import Trace
    from gradcheck_health.records.training import Training
    from gradcheck_health.records.version import __version__ as __version__
    from gradcheck_health.settings.config import Config

__path__ = [*__path__, f"{__path__[0]}/check/callbacks"]
"""Where `gradcheck_health.lightning`, `.transformers` and `.keras` stand: public names of a room below."""
_HOMES = {
    "check.api": ("assert_gradients_healthy", "check_gradients"),
    "check.infer": ("make_inputs",),
    "check.scale.api": ("check_scale",),
    "check.step": ("assert_step_healthy", "check_step"),
    "check.watch.trains": ("assert_trains", "check_trains"),
    "check.watch.watch": ("watch",),
    "records.errors": (
        "GradhealthError",
        "GradientHealthWarning",
        "InputInferenceError",
        "InputsError",
        "ModelError",
        "NothingToCheckError",
        "RankError",
        "UsageError",
    ),
    "records.finding": ("Finding", "Need", "Place", "Severity"),
    "records.history": ("History",),
    "records.inputs": ("Inputs",),
    "records.report": ("Report", "UnhealthyGradientsError"),
    "records.scale": ("Sweep",),
    "records.trace": ("Trace",),
    "records.training": ("Training",),
    "settings.config": ("Config",),
    "records.version": ("__version__",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - by importance, not by alphabet
    "assert_gradients_healthy",
    "assert_step_healthy",
    "assert_trains",
    "check_gradients",
    "check_scale",
    "check_step",
    "check_trains",
    "make_inputs",
    "watch",
    "Config",
    "Finding",
    "GradhealthError",
    "GradientHealthWarning",
    "History",
    "InputInferenceError",
    "Inputs",
    "InputsError",
    "ModelError",
    "Need",
    "NothingToCheckError",
    "Place",
    "RankError",
    "Report",
    "Severity",
    "Sweep",
    "Trace",
    "Training",
    "UnhealthyGradientsError",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # the next access costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
