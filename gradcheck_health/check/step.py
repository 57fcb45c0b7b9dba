"""The composition for a training step of the user's own: step -> steps that were seen -> findings -> report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradcheck_health import rules as rule_files
from gradcheck_health.check.root_causes import ask, root_causes
from gradcheck_health.check.suppressions import accept
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Severity, worst_first
from gradcheck_health.records.report import Report, UnhealthyGradientsError
from gradcheck_health.records.training import Training
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.resolution import load, override

RULES = (
    "ineffective-clipping",
    "ineffective-step",
    "misplaced-clipping",
    "nonfinite-update",
    "ranks-disagree",
    "uncleared-gradient",
    "unoptimized-parameter",
    "unscaled-accumulation",
)
"""The rules that judge what a given step shows."""
OBJECTIVE = "the given step"


def check_step(
    step: Callable[..., Any],
    model: Any,
    optimizer: Any,
    *,
    batches: Sequence[Any] | None = None,
    scheduler: Any = None,
    scaler: Any = None,
    select: Sequence[str] | None = None,
    ignore: Mapping[str, str] | None = None,
    expect: Mapping[str, str] | None = None,
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | None = None,
    fail_on: str | Severity | None = None,
    config: Config | None = None,
    target: str | None = None,
) -> Report:
    """Watch a training step as it stands and judge what it does; everything comes back as it was.

    In a process group every rank calls it with its distributed model: parameters that the steps leave different are found, too.

    Args:
        step: your own step, a function of nothing or of a batch. It is called until the optimizer has taken three steps.
        model: the `nn.Module` that it trains.
        optimizer: the optimizer that it steps, or a list of several.
        batches: what the step is handed, one after another; the list is gone through again where it is short.
        scheduler, scaler: those that the step uses: they come back as they were, too.
        select, ignore, expect, rules, seed, fail_on, config, target: as in `check_gradients`.

    Raises:
        UsageError: the step needs other arguments, trains nothing, or an argument is of the wrong kind.
        ModelError: the step raised.
        RankError: another rank failed, ended or stalled.
    """
    settings = override(
        config if config is not None else load(),
        select=select, ignore=ignore, expect=expect, rules=rules, seed=seed, fail_on=fail_on,
    )  # fmt: skip
    chosen = {name: rule_files.named(name) for name in RULES if settings.select is None or name in settings.select}

    from gradcheck_health.check.distributed.agree import shared_findings
    from gradcheck_health.check.distributed.beside import Beside
    from gradcheck_health.check.unprobed import bare_trace
    from gradcheck_health.model.distributed.ranks import in_step
    from gradcheck_health.model.sandbox.process import process_guard
    from gradcheck_health.model.source.locate import with_source_lines
    from gradcheck_health.model.wrappers import unwrap
    from gradcheck_health.probe.training.given_step import watch_step
    from gradcheck_health.probe.training.optimizers import Trainers

    if optimizer is None:
        raise UsageError("optimizer= is missing: hand over the optimizer that the step uses, or a list of several")
    trainers = Trainers.of(Training(model, optimizer=optimizer, scheduler=scheduler, scaler=scaler, step=step))
    inner = unwrap(model)
    with in_step(settings.timeout, model), process_guard():
        beside = Beside(inner)
        steps = watch_step(step, inner, trainers, batches, settings.seed, beside.look)
        trace = beside.told(dataclasses.replace(bare_trace(inner, settings.seed, OBJECTIVE), steps=steps))
        findings, _, ran = ask(chosen, settings.rules, trace, lambda found: found)
        findings = shared_findings(findings, inner)
    accepted, unmatched = accept(with_source_lines(findings, inner), settings.ignore, ran, settings.expect)
    return Report(
        model=trace.model,
        target=target,
        findings=worst_first(root_causes(accepted)),
        trace=trace,
        rules=ran,
        seed=settings.seed,
        fail_on=settings.fail_on,
        unmatched=unmatched,
    )


def assert_step_healthy(step: Callable[..., Any], model: Any, optimizer: Any, **settings: Any) -> Report:
    """Raise if a training step of your own is sick. Arguments and errors as in `check_step`, and:

    Raises:
        UnhealthyGradientsError: a finding at or above `fail_on`; its `report` holds everything.
    """
    __tracebackhide__ = True
    report = check_step(step, model, optimizer, **settings)
    if not report.ok:
        from gradcheck_health.formats.terminal import render_once

        raise UnhealthyGradientsError(render_once(report), report)
    return report
