"""The two functions of the library, `check_gradients` and `assert_gradients_healthy`: settings out of arguments."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck_health import rules as rule_files
from gradcheck_health.check.fork import check_apart
from gradcheck_health.check.gate import Gate
from gradcheck_health.records.errors import GradhealthError, out_of_memory, ran_out_of_memory
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.report import Report, UnhealthyGradientsError
from gradcheck_health.records.scale import Sweep
from gradcheck_health.records.training import Training
from gradcheck_health.rules import presets
from gradcheck_health.settings.catalogue import IN_A_CALL
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.overrides import names_of
from gradcheck_health.settings.resolution import load, override

if TYPE_CHECKING:
    from gradcheck_health.baseline import Baseline

APART = ("inputs", "loss", "targets", "baseline")
"""Arguments that may be what no setting can: tensors, functions, a `Baseline`; they are used as they are."""


def check_gradients(
    model: Any,
    inputs: Any = None,
    *,
    loss: Callable[..., Any] | str | None = None,
    targets: Any = None,
    select: Sequence[str] | None = None,
    ignore: Mapping[str, str] | None = None,
    expect: Mapping[str, str] | None = None,
    rules: Mapping[str, Mapping[str, Any]] | None = None,
    extra_rules: Sequence[str | Callable[..., Any]] | None = None,
    seed: int | None = None,
    rounds: int | None = None,
    fact_budget: int | None = None,
    fail_on: str | Severity | None = None,
    batch_size: int | None = None,
    batch_axis: int | str | None = "auto",
    causal: bool | None = None,
    edge_inputs: bool | None = None,
    optimizer: Any = None,
    steps: int | None = None,
    device: Any = None,
    dtype: Any = None,
    autocast: str | None = None,
    checkpoint: str | Path | Mapping[str, str] | None = None,
    preset: str | None = None,
    remedies: bool | None = None,
    only_remedies: Sequence[str] | None = None,
    remedy_steps: int | None = None,
    config: Config | None = None,
    target: str | None = None,
    baseline: Baseline | str | Path | None = None,
    facts: Sequence[str] = (),
    isolation: str | None = None,
) -> Report:
    """Probe a model and judge how its gradients flow. The model and the process come back as they were.

    Out of reach of that promise: how far a generator has come, threads and files that forward opens, and the inside of
    compiled objects; `report.unrestored` names what was noticed, and with `isolation="fork"` none of it stays.

    Args:
        model: an `nn.Module`, a `Training`, a `Sweep` over sizes, or a factory (class or function without arguments) that
            returns a `Training`, `model`, `(model, inputs)` or `(model, inputs, loss)`. A factory's verdict is confirmed over
            initialisations, a sweep's report is that of its first size with `trace.scale`.
        inputs: what to feed it: a tensor, a tuple of positional or a dict of keyword arguments, specs such as
            `{"x": "f32[B,3,32,32]"}`, a function or a DataLoader. Made up where None.
        loss: from the model's output to a scalar. Without it, a model that returns its own loss is taken at its word, and the
            output of any other is projected at random. Also a loss of (output, targets), and a name in `torch.nn`.
        targets: what such a loss is handed: a tensor, or a function of the output. Made up where None, for losses of torch.
        select: names of the rules to run; all where None.
        ignore: "rule" or "rule:name-pattern" -> the reason why its findings are accepted.
        expect: the same for findings that have to be there: the check fails where one of them is not.
        rules: rule -> its options, `{"dead-unit": {"max_fraction": 0.3}}`.
        extra_rules: rules of your own: functions of a `Trace`, or "package.module:function".
        seed: of every random draw.
        rounds: how often the model is measured before a verdict, at most.
        fact_budget: forward passes of the whole batch that suspicions may cost, about; what is left then is reported as not
            confirmed.
        fail_on: "error", "warning" or "note": from which severity on the report is not ok.
        batch_size: samples in a batch that is made up.
        batch_axis: the axis of the inputs along which the samples lie, None where there is none; "auto" finds it.
        causal: the output at a time step must not depend on later ones. Without it, where the model itself says so.
        edge_inputs: rows of zeros, equal rows, masks over all and single steps do come: True makes it an error where the
            gradient is not finite under them; otherwise it is a note.
        optimizer: what the model is trained with: a `torch.optim.Optimizer` over it, or a function from parameters to one
            (`partial(torch.optim.AdamW, lr=3e-4)`); one step is taken, judged and undone. "sgd" and "adam" only say so.
        steps: train for so many steps on the batch, judge the run by the rules of training, and undo it. With `optimizer`, or
            SGD at 0.01 or Adam at 1e-3 where there is none; the size of the steps is judged where there is a loss.
        device, dtype: run the model there and in that precision.
        autocast: "bfloat16" or "float16": forward and loss run under `torch.autocast`, as in mixed precision.
        checkpoint: a file of weights that are loaded first, or {"file": "last.ckpt", "key": "state_dict", "prefix": "model."}.
            Names, shapes and dtypes have to fit (a given `dtype` converts); of a pickle nothing but tensors is read.
        preset: another tool's published rules instead of this package's: "sagemaker", "autotrainer" or "deepchecker".
        remedies: try cures on what is sick: each is applied to the model, measured and undone; `report.remedies` has them all.
        only_remedies: names of the cures to try; all where None.
        remedy_steps: train the three best cures of a finding for so many steps, and compare the loss with that of the model.
        config: settings to start from, instead of pyproject.toml or gradhealth.yaml.
        target: how the user named the model, "model.py:Net".
        baseline: hold the model against this baseline, or the one in this file: what it accepts is accepted, a flow that is
            worse is an error, and `report.change` says what is different.
        isolation: "fork" checks in a forked copy of this process, which also what is out of reach otherwise cannot leave.
        facts: measure these too, whether or not a rule asks: "reseeded" for the spread over seeds, "detailed" for source lines.

    Raises:
        UsageError: a wrong argument or setting, nothing to check in the model, a checkpoint that does not fit, or a baseline
            that cannot be read or compared.
        InputInferenceError: no inputs could be made up; the message says how to give them.
        ModelError: the factory or forward raised.
        RankError: of the processes that check together another one failed, ended or stalled.
    """
    arguments = dict(locals())  # so that a setting is named in the signature and nowhere else
    if isolation is not None:
        settings = config if config is not None else load(names=names_of(model, target))
        return check_apart(isolation, partial(check_gradients, **{**arguments, "isolation": None}), settings.timeout)
    sweep = model if isinstance(model, Sweep) else None
    if sweep is not None:
        from gradcheck_health.check.scale.sizes import smallest

        model = smallest(sweep)
    # torch takes two seconds to import: a wrong setting is reported before that
    given = {name: arguments[name] for name in IN_A_CALL if name not in APART}
    given["optimizer"] = optimizer if isinstance(optimizer, str) else None
    given["batch_axis"] = "none" if batch_axis is None else None if batch_axis == "auto" else batch_axis
    settings = override(config if config is not None else load(names=names_of(model, target)), **given)
    chosen = rule_files.load(settings.extra_rules) if settings.preset is None else presets.load(settings.preset)
    if settings.select is not None:
        chosen = {name: rule for name, rule in chosen.items() if name in settings.select}
    gate = Gate.against(baseline, settings, target)
    from gradcheck_health.check.diagnose import diagnose
    from gradcheck_health.check.prepare import prepared

    handed = Training.of(model, inputs, loss, targets, None if isinstance(optimizer, str) else optimizer)
    try:
        left: list[str] = []
        with prepared(handed, settings, target, left) as (subject, environment):
            begun = time.process_time()
            report = diagnose(subject, environment, chosen, settings, gate, facts=facts, target=target)
            if settings.remedies:
                from gradcheck_health.check.remedies.trial import Clinic, try_remedies

                took = time.process_time() - begun
                report = try_remedies(subject, report, Clinic.of(environment, chosen, settings, gate, took))
        if sweep is not None:
            from gradcheck_health.check.scale.sweep import concluded, measured_here

            report = concluded(report, measured_here(sweep, handed, settings), chosen, settings)
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, GradhealthError) or not ran_out_of_memory(error):
            raise
        raise out_of_memory("while it was checked", error) from error
    report = dataclasses.replace(report, unrestored=tuple(left))
    if target is not None:
        return report
    objects = {name: arguments[name] for name in ("inputs", "loss", "targets", "config", "baseline")}
    return dataclasses.replace(report, repeat=_as_call({**objects, **given, "optimizer": optimizer, "seed": settings.seed}))


def _as_call(arguments: Mapping[str, Any]) -> str:
    """The call that makes a report again; an object is written as the name of its argument."""
    given = {name: value for name, value in arguments.items() if value is not None}
    texts = [f"{name}={value!r}" if _is_plain(value) else f"{name}={name}" for name, value in given.items()]
    return f"check_gradients({', '.join(['model', *texts])})"


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)


def assert_gradients_healthy(model: Any, inputs: Any = None, **settings: Any) -> Report:
    """Raise if the gradients of `model` are sick. Arguments and errors as in `check_gradients`, and:

    Raises:
        UnhealthyGradientsError: a finding at or above `fail_on`; an AssertionError whose text names the place, the cause and
            what to do, and whose `report` holds everything.
    """
    __tracebackhide__ = True
    report = check_gradients(model, inputs, **settings)
    if not report.ok:
        from gradcheck_health.formats.terminal import render_once

        raise UnhealthyGradientsError(render_once(report), report)
    return report
