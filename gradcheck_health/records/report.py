"""What the rules concluded: findings, and the report that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradcheck_health.records.change import Change
from gradcheck_health.records.codec import APART, from_document, stored_fields, to_document
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.remedies import RemedyTrial, ShortRun
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted

SCHEMA = 1
_SHOWN = 3
"""Places of a finding that one line names."""


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on one model."""

    model: str
    target: str | None
    """What the user typed to name it, "model.py:Net"; None when the object was handed over."""
    findings: tuple[Finding, ...]
    """Worst first; those that the user accepted are among them, with their reason in `suppressed`."""
    trace: Trace
    rules: tuple[str, ...]
    """Names of the rules that ran."""
    seed: int = 0
    rounds: int = 1
    """How many times the model was examined: 1 on the healthy path, more where a verdict was confirmed."""
    fail_on: Severity = Severity.ERROR
    unmatched: tuple[str, ...] = ()
    """Ignore entries that matched no finding of a rule that ran."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Rule -> the bound that it sets to the flow (gradient at the first layer over that at the head), for pictures."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions, device and dtype: what the user needs to repeat it."""
    made_up_arguments: Mapping[str, str] = field(default_factory=dict)
    """Constructor arguments that were not given, and the values that were made up for them, in words."""
    repeat: str = ""
    """The command that makes this report again, as it is typed; "" where it was made from Python."""
    change: Change | None = None
    """What is different from the baseline, where the model was compared with one."""
    remedies: tuple[RemedyTrial, ...] = ()
    """Cures that were tried, where that was asked for: finding by finding, the best first."""
    run: ShortRun | None = None
    """The short run without a cure, where one was asked for."""
    unrestored: tuple[str, ...] = ()
    """What forward changed and the check could not put back, as far as it was noticed; empty where a process ended with it."""
    inputs: Inputs | None = field(default=None, compare=False, repr=False, metadata=APART)
    """What the model was fed, the tensors themselves: `model(*report.inputs.args, **report.inputs.kwargs)`. Not in JSON, and
    None in a report that was read back or came from another process."""

    def __reduce__(self) -> tuple[type[Report], tuple[Any, ...]]:
        # without what it was fed: an object of the user's need not be picklable
        return Report, tuple(getattr(self, name) for name in stored_fields(Report))

    @property
    def active(self) -> tuple[Finding, ...]:
        """The findings that nobody accepted."""
        return tuple(finding for finding in self.findings if finding.suppressed is None)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings at or above `fail_on`."""
        return tuple(filter(self.fails, self.findings))

    def fails(self, finding: Finding) -> bool:
        """Whether one of the findings is at or above `fail_on`, and nobody accepted it."""
        return finding.suppressed is None and finding.severity.rank <= self.fail_on.rank

    @property
    def ok(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        """A line a finding, with where it is; `formats.terminal.render` gives the whole text."""
        head = f"{self.model}: {'healthy' if self.ok else 'unhealthy'}, {counted(len(self.active), 'finding')}"
        return "\n".join([head, *map(_line, self.active)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What IPython shows in a terminal."""
        printer.text(str(self))

    def plot(self, path: str | Path | None = None, *, width: float = 8.0, height: float = 4.5) -> Any:
        """The flow against depth as a `matplotlib.figure.Figure`, written to `path` (.png, .svg) if there is one.

        Raises:
            UsageError: matplotlib is not installed (the extra `plot`), the suffix is unknown, or no flow was measured.
        """
        from gradcheck_health.formats._flow.figure import plot

        return plot(self, path, width=width, height=height)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from gradcheck_health.formats.html import fragment

        return fragment(self)

    def suggestions(self, finding: Finding) -> tuple[RemedyTrial, ...]:
        """The cures that were measured to help against a finding of this report, the best first."""
        return tuple(
            trial for trial in self.remedies if trial.helps and finding in self.findings[trial.finding : trial.finding + 1]
        )

    def count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for finding in self.active)

    def to_dict(self) -> dict[str, Any]:
        """Strict JSON values; the schema is shipped as `gradcheck_health/formats/report.schema.json`."""
        return to_document(self, SCHEMA, ok=self.ok)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The inverse of `to_dict`.

        Raises:
            ValueError: another schema version, or a missing or unknown field.
        """
        return from_document(cls, data, SCHEMA, "report", derived=("ok",))

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Report:
        return cls.from_dict(json.loads(text))


def _line(finding: Finding) -> str:
    shown = [str(place) for place in finding.places[:_SHOWN]]
    more = f" and {len(finding.places) - _SHOWN} more" if len(finding.places) > _SHOWN else ""
    where = f" at {', '.join(shown)}{more}" if shown else ""
    return f"{finding.severity}: {finding.rule}: {finding.message}{where}"


class UnhealthyGradientsError(AssertionError):
    """Raised by `assert_gradients_healthy`; carries the whole report."""

    __module__ = "gradcheck_health"  # where people import it from, and what a traceback shows

    def __init__(self, text: str, report: Report) -> None:
        super().__init__(text)
        self.report = report

    def __reduce__(self) -> tuple[type[UnhealthyGradientsError], tuple[str, Report]]:
        # an exception is pickled with the arguments of its base; test runners send it between processes
        return type(self), (str(self), self.report)


@dataclass(frozen=True, slots=True)
class Failure:
    """A target for which there is no report, and why."""

    target: str
    message: str
    exit_code: int
    """3: the file or the model failed; 4: its process died or ran too long; 2: it names nothing that can be checked."""


@dataclass(frozen=True, slots=True)
class NothingToCheck:
    """A target that holds nothing with gradients, and why: a file without a model, a helper without parameters."""

    target: str
    message: str
