"""`assert_trains(model, ...)`: a short run on one batch, judged by the rules of training, and undone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from gradcheck_health.check.api import check_gradients
from gradcheck_health.check.watch.judge import RULES
from gradcheck_health.records.errors import UsageError, did_you_mean
from gradcheck_health.records.report import Report, UnhealthyGradientsError


def check_trains(
    model: Any,
    inputs: Any = None,
    *,
    loss: Callable[..., Any] | str | None = None,
    targets: Any = None,
    optimizer: Any = "adamw",
    lr: float | None = None,
    steps: int = 50,
    **settings: Any,
) -> Report:
    """The verdict of the rules of training on a short run. Model, optimizer and process come back as they were.

    The loss is information, printed and in `report.trace.history`: it falls for many sick models on one batch, and it may take
    longer for a sound one. Errors come from the rules of training.

    Args:
        model, inputs, loss, targets: as in `check_gradients`; the run sees one batch.
        optimizer: the name of one in `torch.optim` in any case, its class, an optimizer over the model, or a function from
            parameters to one.
        lr: its learning rate, where it is given by name or class; the class's own where None.
        steps: how many are taken.
        settings: further ones of `check_gradients`; `select` narrows the rules of training.

    Raises:
        UsageError: an unknown optimizer, or lr= beside one that is built.
    """
    settings = {"select": RULES, **settings}
    made = _optimizer(optimizer, lr)
    return check_gradients(model, inputs, loss=loss, targets=targets, optimizer=made, steps=steps, **settings)


def assert_trains(model: Any, inputs: Any = None, **settings: Any) -> Report:
    """Raise if a short run of training is sick. Arguments and errors as in `check_trains`, and:

    Raises:
        UnhealthyGradientsError: a finding at or above `fail_on`; its `report` holds everything.
    """
    __tracebackhide__ = True
    report = check_trains(model, inputs, **settings)
    if not report.ok:
        from gradcheck_health.formats.terminal import render_once

        raise UnhealthyGradientsError(render_once(report), report)
    return report


def _optimizer(given: Any, lr: float | None) -> Any:
    made = _named(given) if isinstance(given, str) else given
    if lr is None:
        return made
    if not isinstance(made, type):
        raise UsageError("lr= beside an optimizer that is built already: give it its learning rate where it is built")
    return partial(made, lr=lr)


def _named(name: str) -> Any:
    import torch

    known: dict[str, Any] = {
        key.lower(): one
        for key, one in vars(torch.optim).items()
        if isinstance(one, type) and issubclass(one, torch.optim.Optimizer) and one is not torch.optim.Optimizer
    }
    if name.lower() not in known:
        raise UsageError(f"optimizer={name!r}: torch.optim has none of that name{did_you_mean(name.lower(), list(known))}")
    return known[name.lower()]
