"""Where metrics go: TensorBoard, Weights & Biases, MLflow, or a function; known by what they can do, none is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.wording import a_kind

Sink = Callable[[dict[str, Any], int], Any]
WORST = "gradhealth/fastest_layer"
"""The one text among the metrics."""


def sink(target: Any) -> Sink:
    """A function of (metrics, step) that hands them to a `SummaryWriter`, a run of wandb, the module mlflow, or a function.

    Raises:
        UsageError: none of these.
    """
    if hasattr(target, "add_scalar"):
        return lambda metrics, step: _tensorboard(target, metrics, step)
    if hasattr(target, "log_metrics"):
        return lambda metrics, step: _mlflow(target, metrics, step)
    if callable(getattr(target, "log", None)):
        return lambda metrics, step: target.log(metrics)  # a step of its own: a smaller one than the run's would be dropped
    if callable(target):
        return target  # type: ignore[no-any-return]
    raise UsageError(
        f"log= got {a_kind(target)}; allowed: a SummaryWriter, a run of wandb, mlflow, or a function of (metrics, step)"
    )


def _tensorboard(writer: Any, metrics: dict[str, Any], step: int) -> None:
    for name, value in metrics.items():
        if isinstance(value, str):
            writer.add_text(name, value, step)
        else:
            writer.add_scalar(name, value, step)


def _mlflow(mlflow: Any, metrics: dict[str, Any], step: int) -> None:
    """Into the run that is active: opening a store is the user's affair."""
    mlflow.log_metrics({name: value for name, value in metrics.items() if not isinstance(value, str)}, step=step)
    for name, value in metrics.items():
        if isinstance(value, str) and hasattr(mlflow, "set_tag"):
            mlflow.set_tag(name, value)
