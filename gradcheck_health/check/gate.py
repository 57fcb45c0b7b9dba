"""A check against a baseline, and one that writes it: what happens before, during and after the rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck_health import baseline as baselines
from gradcheck_health.baseline import Baseline
from gradcheck_health.baseline.bounds import Bound, parse_all
from gradcheck_health.baseline.profile_of import profile_of
from gradcheck_health.records.change import Change
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.trace import Trace
from gradcheck_health.settings.config import Config


@dataclass(frozen=True, slots=True)
class Gate:
    """The baseline, and the bounds that the settings put on a change."""

    baseline: Baseline
    bounds: tuple[Bound, ...]

    @classmethod
    def against(cls, baseline: Baseline | str | Path | None, settings: Config, target: str | None) -> Gate | None:
        """Read before torch is imported, so that a file that is no baseline is reported at once.

        Raises:
            UsageError: the file is missing or no baseline, or an expression of `fail_if` is wrong.
        """
        if baseline is None:
            return None
        bounds = parse_all(settings.rules.get(baselines.RULE, {}).get("fail_if", ()))
        if not isinstance(baseline, Baseline):
            from gradcheck_health.baseline import files

            name = target or "the model"
            baseline = files.required(files.path_for(baseline, name), name)
        return cls(baseline, bounds)

    def beside(self, trace: Trace, environment: Mapping[str, str]) -> Trace:
        """The trace with the profile that it is compared with.

        Raises:
            UsageError: they cannot be compared, see `baseline.comparable`.
        """
        baselines.comparable(self.baseline, environment, trace)
        return dataclasses.replace(trace, reference=self.baseline.profile)

    def ignore(self, settings: Config) -> dict[str, str]:
        """What the baseline accepts, and over it what the settings do."""
        return {**self.baseline.accepted, **settings.ignore}

    def split(self, unmatched: Sequence[str], settings: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Entries that matched nothing: those of the settings, and those that only the baseline has."""
        gone = tuple(entry for entry in unmatched if entry in self.baseline.accepted and entry not in settings.ignore)
        return tuple(entry for entry in unmatched if entry not in gone), gone

    def change(
        self,
        trace: Trace,
        environment: Mapping[str, str],
        findings: Sequence[Finding],
        gone: Sequence[str],
    ) -> Change:
        """What is different, as a value for the report."""
        return baselines.change(
            self.baseline,
            profile_of(trace),
            self.bounds,
            new=baselines.entries(finding for finding in findings if finding.suppressed is None),
            missing=baselines.gone(self.baseline.accepted, gone),
            notes=baselines.comparable(self.baseline, environment, trace),
        )


def accepting(settings: Config, path: Path | None) -> Config:
    """The settings that a baseline is written under: what the older one in this file accepts is accepted, so that it shows
    what of it is gone."""
    from gradcheck_health.baseline import files

    accepted = files.read(path).accepted if path is not None and path.exists() else {}
    return dataclasses.replace(settings, ignore={**accepted, **settings.ignore})
