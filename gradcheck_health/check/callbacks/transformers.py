"""A callback for the Trainer of transformers: `Trainer(..., callbacks=[GradientHealthCallback(every_n_steps=10)])`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from gradcheck_health.check.watch.loop import Watch
from gradcheck_health.check.watch.watch import watch
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Report


class GradientHealthCallback(TrainerCallback):  # type: ignore[misc]
    """Watches the steps of a Trainer; `report` and `health` hold what was seen. The loss is the one that the model returns.

    Args:
        every_n_steps: measure every so many steps, after the first `dense` (the Trainer's own word is logging_steps).
        on_sick: as in `watch`; "stop" sets `control.should_training_stop`.
        log: called with the metrics and the step at the Trainer's logging steps, such as `sink(run)`.
        settings: further ones of `watch`: `second_look`, `ignore`, `select`, `rules`, `fail_on`.
    """

    def __init__(
        self,
        every_n_steps: int = 10,
        *,
        dense: int = 100,
        on_sick: str | Callable[[Finding], Any] = "warn",
        log: Callable[[dict[str, Any], int], Any] | None = None,
        file: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.health: Watch | None = None
        self._log, self._stop = log, False
        stops = on_sick == "stop"
        self._arguments = {
            "every": every_n_steps,
            "dense": dense,
            "on_sick": self._ask_to_stop if stops else on_sick,
            "file": file,
            **settings,
        }

    @property
    def report(self) -> Report | None:
        """The verdict so far; None before the training."""
        return None if self.health is None else self.health.report

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        optimizer = kwargs["optimizer"]
        scaler = getattr(optimizer, "scaler", None)
        self.health = watch(kwargs["model"], optimizer, scaler=scaler, **self._arguments).start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._stop:
            control.should_training_stop = True
        if self.health is not None and self._log is not None and state.global_step % args.logging_steps == 0:
            self._log(self.health.metrics(), state.global_step)
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.health is not None:
            self.health.close()

    def _ask_to_stop(self, finding: Finding) -> None:
        from gradcheck_health.check.watch.alarm import stops

        self._stop |= stops(finding)
