"""A callback for Lightning's Trainer: `Trainer(callbacks=[GradientHealth(every_n_steps=10)])`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import lightning.pytorch as pl
except ImportError:  # the same package under its older name
    import pytorch_lightning as pl  # type: ignore[no-redef]

from gradcheck_health.check.watch.loop import Watch
from gradcheck_health.check.watch.watch import watch
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Report


class GradientHealth(pl.Callback):  # type: ignore[misc]
    """Watches the steps of a Trainer; `report` and `health` hold what was seen.

    Args:
        every_n_steps: measure every so many steps, after the first `dense`.
        on_sick: as in `watch`; "stop" ends the training after the step.
        log: hand the metrics to the Trainer's loggers at each measured step after the first `dense`.
        settings: further ones of `watch`: `second_look`, `ignore`, `select`, `rules`, `fail_on`.
    """

    def __init__(
        self,
        every_n_steps: int = 10,
        *,
        dense: int = 100,
        on_sick: str | Callable[[Finding], Any] = "warn",
        log: bool = True,
        file: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.health: Watch | None = None
        self._every, self._log, self._stop = every_n_steps, log, False
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

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.health = watch(pl_module, list(trainer.optimizers), scaler=scaler, **self._arguments).start()

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        if self.health is not None:
            self.health.loss(loss.detach() * trainer.accumulate_grad_batches)  # the Trainer has divided it

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
        if self._stop:
            trainer.should_stop = True
        if self.health is not None and self._log and trainer.global_step % self._every == 0:
            for logger in trainer.loggers:
                logger.log_metrics(self.health.metrics(), step=trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if self.health is not None:
            self.health.__exit__(type(exception))

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._close()

    def _close(self) -> None:
        if self.health is not None:
            self.health.close()

    def _ask_to_stop(self, finding: Finding) -> None:
        from gradcheck_health.check.watch.alarm import stops

        self._stop |= stops(finding)
