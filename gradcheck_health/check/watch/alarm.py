"""What is done about a finding while the loop runs: a warning, an error, a line in the log, or a call of the user's."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

from gradcheck_health.records.errors import GradientHealthWarning, UsageError, did_you_mean
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.history import Noticed
from gradcheck_health.records.wording import a_kind

Sick = str | Callable[[Finding], Any]
WAYS = ("warn", "raise", "log")
_LOG = logging.getLogger("gradcheck_health")
_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.NOTE: logging.INFO}


def checked(on_sick: Any) -> Sick:
    """Raises: UsageError: neither a word that is known nor a function."""
    if callable(on_sick) or on_sick in WAYS:
        return on_sick  # type: ignore[no-any-return]
    if isinstance(on_sick, str):
        raise UsageError(f"on_sick={on_sick!r}: allowed: 'warn', 'raise', 'log' or a function{did_you_mean(on_sick, WAYS)}")
    raise UsageError(f"on_sick= got {a_kind(on_sick)}; allowed: 'warn', 'raise', 'log' or a function of a Finding")


def sound(on_sick: Sick, one: Noticed) -> None:
    """One finding, once; "raise" is left to the caller, who knows the report."""
    if callable(on_sick):
        on_sick(one.finding)
    elif on_sick == "log":
        _LOG.log(_LEVELS[one.finding.severity], "step %d: %s", one.step, line(one.finding))
    elif on_sick == "warn" and one.finding.severity is not Severity.NOTE:
        warnings.warn(f"step {one.step}: {line(one.finding)}", GradientHealthWarning, stacklevel=_depth_of_the_loop())


def _depth_of_the_loop() -> int:
    """Frames between here and the user's own line, for which the warning is: neither ours nor of torch."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("gradcheck_health", "torch"):
        frame, depth = frame.f_back, depth + 1
    return depth


def stops(finding: Finding) -> bool:
    """A finding that a run is not to be continued with."""
    return finding.severity is Severity.ERROR


def line(finding: Finding) -> str:
    """`warning: tiny-update: ..., at fc.weight`."""
    names = [str(place) for place in finding.places if place.name][:3]
    return f"{finding.severity}: {finding.rule}: {finding.message}" + (f", at {', '.join(names)}" if names else "")
