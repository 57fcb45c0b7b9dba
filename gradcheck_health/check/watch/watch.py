"""`watch(model, optimizer)`: a training loop of the user's own, watched while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from gradcheck_health.check.watch import alarm
from gradcheck_health.check.watch.handed import models, optimizers, whole
from gradcheck_health.check.watch.loop import Watch
from gradcheck_health.check.watch.sinks import sink
from gradcheck_health.model.names import NamedParameter
from gradcheck_health.records.finding import Finding, Severity
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.resolution import load, override


def watch(
    model: Any,
    optimizer: Any,
    *,
    every: int = 10,
    dense: int = 100,
    on_sick: str | Callable[[Finding], Any] = "warn",
    scaler: Any = None,
    second_look: bool = True,
    file: str | Path | None = None,
    log: Any = None,
    select: Sequence[str] | None = None,
    ignore: Mapping[str, str] | None = None,
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    fail_on: str | Severity | None = None,
    config: Config | None = None,
) -> Watch:
    """Watch a training loop of your own: `with watch(model, optimizer) as health: ...`. It computes what it computed before.

    Counted at every step: backward passes, steps, gradients that nobody cleared, learning rates. Measured at some: norms of
    gradients and weights, how far each step moves a weight, rows without gradient; with one transfer to the host.

    Args:
        model: the `nn.Module` that is trained, as the loop calls it; or a list of several.
        optimizer: the optimizer that trains it, or a list of several.
        every: measure every so many steps (elsewhere called log_freq, every_n_steps or logging_steps).
        dense: the first steps, which are all measured: there most runs break.
        on_sick: "warn" issues a `GradientHealthWarning`, "log" writes to the logger gradcheck_health, "raise" raises at a
            finding at or above `fail_on`, and a function is called with each `Finding`; each finding comes once.
        scaler: the `torch.amp.GradScaler` of the loop: with it clipping is told from unscaling.
        second_look: run the whole check on the weights as they are, with the loop's last batch, where something is suspicious.
        file: append each measured step to this file, one JSON document a line; `History.from_file` reads it after kill -9, too.
        log: where every `every` steps the metrics go: a `SummaryWriter`, a run of wandb, the module mlflow, or a function of
            (metrics, step).
        select, ignore, rules, fail_on, config: as in `check_gradients`.

    Raises:
        UsageError: an argument of the wrong kind.
    """
    watched = models(model)
    return watched_by(
        watched,
        optimizers(watched, optimizer),
        None,
        every=every,
        dense=dense,
        on_sick=on_sick,
        scaler=scaler,
        second_look=second_look,
        file=file,
        log=log,
        select=select,
        ignore=ignore,
        rules=rules,
        fail_on=fail_on,
        config=config,
    )


def watched_by(
    model: nn.Module,
    stepped_by: Sequence[Any],
    named: Sequence[NamedParameter] | None,
    *,
    every: int = 10,
    dense: int = 100,
    on_sick: str | Callable[[Finding], Any] = "warn",
    scaler: Any = None,
    second_look: bool = True,
    file: str | Path | None = None,
    log: Any = None,
    config: Config | None = None,
    **settings: Any,
) -> Watch:
    """The same for optimizers that are checked already, or that are none of torch's, with the names of what they hold."""
    return Watch(
        model,
        stepped_by,
        override(config if config is not None else load(), **settings),
        every=whole("every", every, 1),
        dense=whole("dense", dense, 0),
        on_sick=alarm.checked(on_sick),
        scaler=scaler,
        look=second_look,
        file=file,
        log=None if log is None else sink(log),
        named=named,
    )
