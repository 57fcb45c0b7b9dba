"""Gradient health checks for PyTorch models, in the style of pytest.

`assert_gradients_healthy(model)` is all that a unit test needs. Names are loaded on first use (PEP 562), so that importing
this package, which pytest does at every start, costs no import of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck_health.batch import Inputs
    from gradcheck_health.check import assert_gradients_healthy, check_gradients
    from gradcheck_health.config import Config
    from gradcheck_health.errors import (
        GradhealthError,
        GradientHealthWarning,
        InputInferenceError,
        InputsError,
        ModelError,
        UsageError,
    )
    from gradcheck_health.report import Finding, Need, Place, Report, Severity, UnhealthyGradientsError
    from gradcheck_health.trace import Trace

__version__ = "0.1.0"

_HOMES = {
    "batch": ("Inputs",),
    "check": ("assert_gradients_healthy", "check_gradients"),
    "config": ("Config",),
    "errors": ("GradhealthError", "GradientHealthWarning", "InputInferenceError", "InputsError", "ModelError", "UsageError"),
    "report": ("Finding", "Need", "Place", "Report", "Severity", "UnhealthyGradientsError"),
    "trace": ("Trace",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - by importance, not by alphabet
    "assert_gradients_healthy",
    "check_gradients",
    "Config",
    "Finding",
    "GradhealthError",
    "GradientHealthWarning",
    "InputInferenceError",
    "Inputs",
    "InputsError",
    "ModelError",
    "Need",
    "Place",
    "Report",
    "Severity",
    "Trace",
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
