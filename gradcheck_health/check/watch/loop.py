"""A training loop of the user's own while it runs: hooks on, rules asked, findings issued, hooks off."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from gradcheck_health.check.suppressions import accept
from gradcheck_health.check.unprobed import bare_trace
from gradcheck_health.check.watch import alarm, judge
from gradcheck_health.check.watch.history_file import HistoryFile
from gradcheck_health.check.watch.metrics import fastest_layer, flat
from gradcheck_health.check.watch.second_look import CONFIRMS, EARLY, LOOKS, SUSPICIOUS, second_look, worth_a_look
from gradcheck_health.check.watch.sinks import WORST, Sink
from gradcheck_health.model.names import NamedParameter
from gradcheck_health.model.source.locate import with_source_lines
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.training.watching.tracker import Tracker
from gradcheck_health.probe.training.watching.watcher import Watcher
from gradcheck_health.records.finding import Finding, Severity, worst_first
from gradcheck_health.records.history import History, Moment, Noticed
from gradcheck_health.records.report import Report, UnhealthyGradientsError
from gradcheck_health.settings.config import Config

OBJECTIVE = "the loop"
EVERY_STEP, NOW_AND_THEN = 20, 5
"""The rules are asked at each of the first steps, then at every fifth that is measured."""


class Watch:
    """A loop that is watched: a context manager, or `start()` and `close()`. What `watch` returns."""

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Any],
        settings: Config,
        *,
        every: int,
        dense: int,
        on_sick: alarm.Sick,
        scaler: Any,
        look: bool,
        file: str | Path | None,
        log: Sink | None,
        named: Sequence[NamedParameter] | None = None,
    ) -> None:
        self._model, self._settings, self._on_sick = model, settings, on_sick
        self._every = every
        self._watcher = Watcher(
            model, optimizers, self._saw, self._thrown_away, every=every, dense=dense, scaler=scaler, named=named
        )
        self._log = log
        self._rules = judge.chosen(settings.select)
        self._ran = tuple(self._rules)
        self._looks = LOOKS if look else 0
        self._file = None if file is None else HistoryFile(Path(file), self._ran)
        self._trace = bare_trace(unwrap(model), settings.seed, OBJECTIVE)
        self._noticed: list[Noticed] = []
        self._waiting = False
        self._pending: list[Noticed] = []
        """Found, and waiting for the second pass, which is made after the step that comes next."""
        self._running = False
        self._measured = 0
        """Steps of which a moment was taken."""

    def start(self) -> Watch:
        """Put the hooks on; without effect where they are on."""
        if not self._running:
            self._running = True
            self._watcher.start()
        return self

    def close(self) -> None:
        """Take the hooks off; what was seen stays."""
        if self._running:
            self._running = False
            try:
                self._judge()
                if self._waiting:
                    self._conclude(self._watcher.history().steps)
            finally:
                self._watcher.stop()
                if self._file is not None:
                    self._file.close(self.history)

    def __enter__(self) -> Watch:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._on_sick = "log"  # the loop's own error is what the user sees
        self.close()

    def loss(self, value: Any) -> Any:
        """The loss of the step that comes next, which is handed back as it is: `health.loss(loss).backward()`."""
        self._watcher.loss(value)
        return value

    @property
    def history(self) -> History:
        """Everything that was seen so far; `history.to_json()` writes it."""
        return self._history()

    @property
    def report(self) -> Report:
        """The verdict so far."""
        history = self._history()
        found = with_source_lines([one.finding for one in judge.causes(self._noticed)], unwrap(self._model))
        accepted, unmatched = accept(found, self._settings.ignore, self._ran, self._settings.expect)
        return Report(
            model=self._trace.model,
            target=None,
            findings=worst_first(accepted),
            trace=dataclasses.replace(self._trace, history=history, gaps=history.gaps),
            rules=self._ran,
            seed=self._settings.seed,
            fail_on=self._settings.fail_on,
            unmatched=unmatched,
        )

    def metrics(self) -> dict[str, float]:
        """The last measured step as a flat table for a logger: gradhealth/grad_norm, gradhealth/update_ratio/median ..."""
        return flat(self._history(), [one.finding for one in judge.causes(self._noticed)])

    def _history(self) -> History:
        return dataclasses.replace(self._watcher.history(), noticed=tuple(self._noticed), rules=self._ran)

    def _saw(self, tracker: Tracker, moment: Moment | None) -> None:
        if self._waiting:
            self._conclude(tracker.steps)
        if moment is None:
            return
        if self._file is not None:
            self._file.write(self._watcher, tracker, moment)
        self._measured += 1
        often = moment.step <= EVERY_STEP or self._measured % NOW_AND_THEN == 0
        if self._log is not None and moment.step % self._every == 0:
            self._log({**self.metrics(), WORST: fastest_layer(self._watcher.history())}, moment.step)
        if often or moment.nonfinite or moment.gradient == 0 or moment.broken:
            self._judge(moment.step)
        if moment.step == EARLY and self._looks and not self._waiting and worth_a_look(tracker.record(), moment):
            self._ask_for_a_look()

    def _thrown_away(self) -> None:
        """The step at which it is known is that which the last of these backward passes should have led to."""
        self._judge(max(track.steps + track.discarded + 1 for track in self._watcher.history().tracks))

    def _judge(self, step: int | None = None) -> None:
        """Ask the rules that have not found anything yet."""
        history = self._history()
        found = judge.noticed(self._rules, self._settings.rules, self._trace, history, history.steps if step is None else step)
        if found:
            self._notice(found)

    def _notice(self, found: list[Noticed]) -> None:
        self._rules = {name: rule for name, rule in self._rules.items() if all(one.finding.rule != name for one in found)}
        if self._looks and any(one.finding.rule in SUSPICIOUS for one in found):
            self._pending += found
            self._ask_for_a_look()
        else:
            self._sound(found)

    def _ask_for_a_look(self) -> None:
        self._looks -= 1
        self._waiting = True
        self._watcher.calls.arm()

    def _conclude(self, step: int) -> None:
        """Run the whole check on the model as it is, and say what was found with what it explains."""
        self._waiting = False
        found, self._pending = self._pending, []
        step = found[0].step if found else step
        causes, gap = second_look(self._watcher, self._settings)
        self._watcher.calls.disarm()
        if gap:
            self._watcher.gaps.append(f"the second pass at step {step}: {gap}")
        if not gap and CONFIRMS.isdisjoint(one.rule for one in causes):
            found = [_as_note(one) if _is_of_no_gradient(one.finding) else one for one in found]
        known = {one.finding.rule for one in (*self._noticed, *found)}
        self._sound([*found, *(Noticed(step, one) for one in causes if one.rule not in known)])

    def _sound(self, found: list[Noticed]) -> None:
        marked, _ = accept([one.finding for one in found], self._settings.ignore, (), None)
        found = [Noticed(one.step, finding) for one, finding in zip(found, marked, strict=True)]
        self._noticed += found
        kept = judge.causes(self._noticed)
        active = [one for one in found if one.finding.suppressed is None and one in kept]
        for one in active:
            if self._file is not None:
                self._file.notice(one)
            alarm.sound(self._on_sick, one)
        if self._on_sick == "raise" and any(one.finding.severity.rank <= self._settings.fail_on.rank for one in active):
            from gradcheck_health.formats.terminal import render

            report = self.report
            raise UnhealthyGradientsError(render(report), report)


def _as_note(one: Noticed) -> Noticed:
    """What the whole check has looked into and does not call sick."""
    return dataclasses.replace(one, finding=dataclasses.replace(one.finding, severity=Severity.NOTE))


def _is_of_no_gradient(finding: Finding) -> bool:
    """A whole weight got none: the check knows who waits for another batch, and what has none by design."""
    return finding.severity is Severity.ERROR and finding.rule in ("dead-unit", "missing-gradient")
