"""A callback for Keras 3 on torch: `model.fit(..., callbacks=[GradientHealth(every=10)])`.

Keras has no optimizer of torch: its own changes the variables itself. What a batch did is read before and after it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import torch

from gradcheck_health.check.watch.loop import Watch
from gradcheck_health.check.watch.watch import watched_by
from gradcheck_health.model.names import NamedParameter
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Report

_ROLES = {"embeddings": "embedding", "bias": "bias", "beta": "bias", "gamma": "scale", "kernel": "weight"}


class GradientHealth(keras.callbacks.Callback):  # type: ignore[misc]
    """Watches `fit`; `report` and `health` hold what was seen. Names are the paths of the variables, "dense/kernel".

    Args:
        every: measure every so many steps, after the first `dense`.
        on_sick: as in `watch`; "stop" sets `model.stop_training`.
        settings: further ones of `watch`: `second_look`, `ignore`, `select`, `rules`, `fail_on`.

    Raises:
        UsageError: Keras runs on another backend than torch.
    """

    def __init__(
        self,
        every: int = 10,
        *,
        dense: int = 100,
        on_sick: str | Callable[[Finding], Any] = "warn",
        file: str | Path | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        if keras.backend.backend() != "torch":
            raise UsageError(f"Keras runs on {keras.backend.backend()}; allowed: torch (KERAS_BACKEND=torch)")
        self.health: Watch | None = None
        self._steps: Any = None
        self._mean = 0.0
        stops = on_sick == "stop"
        self._arguments = {
            "every": every,
            "dense": dense,
            "on_sick": self._ask_to_stop if stops else on_sick,
            "file": file,
            **settings,
        }

    @property
    def report(self) -> Report | None:
        """The verdict so far; None before the training."""
        return None if self.health is None else self.health.report

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.health is None:  # before the first batch the model may not be built
            if not self.model.built:
                return
            variables = self.model.trainable_variables
            kind = type(type(self.model.optimizer).__name__, (_Steps,), {})
            self._steps = kind([one.value for one in variables], self.model.optimizer)
            self.health = watched_by(self.model, [self._steps], [_named(one) for one in variables], **self._arguments).start()
        self._steps.begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.health is None:
            return
        mean = float((logs or {}).get("loss", 0.0))  # of the epoch so far
        self.health.loss((batch + 1) * mean - batch * self._mean)
        self._mean = mean
        self._steps.end()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._mean = 0.0

    def on_train_end(self, logs: Any = None) -> None:
        if self.health is not None:
            self.health.close()

    def _ask_to_stop(self, finding: Finding) -> None:
        from gradcheck_health.check.watch.alarm import stops

        if stops(finding):
            self.model.stop_training = True


class _Steps:
    """A Keras optimizer as the watching knows optimizers: groups, and hooks around a step."""

    def __init__(self, tensors: list[torch.Tensor], optimizer: Any) -> None:
        self._optimizer = optimizer
        self.param_groups: list[dict[str, Any]] = [{"params": tensors, "lr": 0.0}]
        self.state: dict[Any, Any] = {}
        self._hooks: dict[str, list[Any]] = {"begin": [], "end": []}

    def step(self) -> None:
        """Keras takes it."""

    def register_step_pre_hook(self, hook: Any) -> Any:
        return _Handle(self._hooks["begin"], hook)

    def register_step_post_hook(self, hook: Any) -> Any:
        return _Handle(self._hooks["end"], hook)

    def begin(self) -> None:
        self.param_groups[0]["lr"] = float(self._optimizer.learning_rate)
        for hook in self._hooks["begin"]:
            hook(self, (), {})

    def end(self) -> None:
        for hook in self._hooks["end"]:
            hook(self, (), {})


class _Handle:
    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook
        hooks.append(hook)

    def remove(self) -> None:
        self._hooks.remove(self._hook)


def _named(variable: Any) -> NamedParameter:
    layer, _, name = variable.path.rpartition("/")
    role = "vector" if variable.value.dim() == 1 and _ROLES.get(name) == "weight" else _ROLES.get(name)
    return NamedParameter(
        variable.value, variable.path, layer, "", role or ("weight" if variable.value.dim() > 1 else "vector"), ()
    )
