"""The composition: model -> inputs -> trace -> findings -> report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck_health import inline, presets
from gradcheck_health import rules as rule_files
from gradcheck_health.accept import accept
from gradcheck_health.causes import ask, root_causes
from gradcheck_health.config import Config, load, override
from gradcheck_health.forked import check_apart
from gradcheck_health.held import Held
from gradcheck_health.overrides import names_of
from gradcheck_health.report import Finding, Report, Severity, UnhealthyGradientsError

if TYPE_CHECKING:
    from gradcheck_health.baseline import Baseline
    from gradcheck_health.trace import Trace

ROUNDS_OF_NEEDS = 12


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
    fail_on: str | Severity | None = None,
    batch_size: int | None = None,
    batch_axis: int | str | None = "auto",
    causal: bool | None = None,
    optimizer: str | None = None,
    device: Any = None,
    dtype: Any = None,
    checkpoint: str | Path | Mapping[str, str] | None = None,
    preset: str | None = None,
    config: Config | None = None,
    target: str | None = None,
    baseline: Baseline | str | Path | None = None,
    facts: Sequence[str] = (),
    isolation: str | None = None,
) -> Report:
    """Probe a model and judge how its gradients flow. The model and the process come back as they were.

    Out of reach of that promise: globals of your own files, how far an iterator has come, and the inside of compiled objects;
    with `isolation="fork"` they are not.

    Args:
        model: an `nn.Module`, or a factory (class or function without arguments) that returns `model`, `(model, inputs)` or
            `(model, inputs, loss)`. A factory's verdict is confirmed over several initialisations.
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
        rounds: looks at the model, at most, before a verdict.
        fail_on: "error", "warning" or "note": from which severity on the report is not ok.
        batch_size: samples in a batch that is made up.
        batch_axis: the axis of the inputs along which the samples lie, None where there is none; "auto" finds it.
        causal: the output at a time step must not depend on later ones. Without it, where the model itself says so.
        optimizer: "sgd" or "adam": what the model is trained with.
        device, dtype: run the model there and in that precision.
        checkpoint: a file of weights that are loaded first, or {"file": "last.ckpt", "key": "state_dict", "prefix": "model."}.
            Names, shapes and dtypes have to fit (a given `dtype` converts); of a pickle nothing but tensors is read.
        preset: another tool's published rules instead of this package's: "sagemaker", "autotrainer" or "deepchecker".
        config: settings to start from, instead of pyproject.toml or gradhealth.yaml.
        target: how a person named the model, "model.py:Net".
        baseline: hold the model against this baseline, or the one in this file: what it accepts is accepted, a flow that is
            worse is an error, and `report.change` says what is different.
        isolation: "fork" checks in a forked copy of this process, which also what is out of reach otherwise cannot leave.
        facts: measure these too, whether or not a rule asks: "reseeded" for the spread over seeds, "detailed" for source lines.

    Raises:
        UsageError: a wrong argument or setting, nothing to check in the model, a checkpoint that does not fit, or a baseline
            that cannot be read or compared.
        InputInferenceError: no inputs could be made up; the message says how to give them.
        ModelError: the factory or forward raised.
    """
    if isolation is not None:
        given = {name: value for name, value in locals().items() if name != "isolation"}
        return check_apart(isolation, lambda: check_gradients(**given))
    # torch takes two seconds to import: a wrong setting is told before that
    settings = override(
        config if config is not None else load(names=names_of(model, target)),
        select=select,
        ignore=ignore,
        expect=expect,
        rules=rules,
        extra_rules=extra_rules,
        seed=seed,
        rounds=rounds,
        fail_on=fail_on,
        batch_size=batch_size,
        batch_axis="none" if batch_axis is None else None if batch_axis == "auto" else batch_axis,
        causal=causal,
        optimizer=optimizer,
        device=device,
        dtype=dtype,
        checkpoint=checkpoint,
        preset=preset,
    )
    chosen = rule_files.load(settings.extra_rules) if settings.preset is None else presets.load(settings.preset)
    if settings.select is not None:
        chosen = {name: rule for name, rule in chosen.items() if name in settings.select}
    held = Held.against(baseline, settings, target)
    ignore = settings.ignore if held is None else held.ignore(settings)

    def known(findings: list[Finding]) -> list[Finding]:
        findings, _ = _in_the_code(findings, subject.model, chosen, settings) if findings else (findings, ())
        return accept(findings, {**ignore, **(settings.expect or {})}, ())[0]

    from gradcheck_health.examine import examined

    with examined(model, inputs, loss, targets, settings, target) as (subject, environment):
        from gradcheck_health.probe import probe, take

        trace = probe(subject)
        if held is not None:
            trace = held.beside(trace, environment)
        for _ in range(ROUNDS_OF_NEEDS):
            findings, needs, ran = ask(chosen, settings.rules, trace, known)
            needs += [fact for fact in facts if fact not in needs and _wanting(fact, trace)]
            if not needs:
                break
            bare = dataclasses.replace(trace, reference=None)  # a fact that hands back a trace need not repeat it
            taken = {fact: take(fact, subject, bare) for fact in needs}
            gaps = tuple(
                f"the fact {fact}: the model does not run that way" for fact, measured in taken.items() if not measured
            )
            trace = dataclasses.replace(trace, facts={**trace.facts, **taken}, gaps=(*trace.gaps, *gaps))
        else:
            findings, needs, ran = ask(chosen, settings.rules, trace, known)
        findings, stale = _in_the_code(findings, subject.model, chosen, settings)
    accepted, unmatched = accept(findings, ignore, ran, settings.expect)
    accepted = sorted(root_causes(accepted), key=lambda finding: finding.severity.rank)
    unmatched, gone = (unmatched, ()) if held is None else held.split(unmatched, settings)
    return Report(
        model=trace.model,
        target=target,
        findings=tuple(accepted),
        trace=trace,
        rules=ran,
        seed=settings.seed,
        rounds=1 + len(trace.facts.get("reseeded", ())),
        fail_on=settings.fail_on,
        unmatched=(*unmatched, *stale),
        limits=rule_files.flow_limits(chosen, settings.rules, trace),
        environment=environment,
        change=None if held is None else held.change(trace, environment, accepted, gone),
    )


def _wanting(fact: str, trace: Trace) -> bool:
    """A fact that was asked for whatever the rules say is not there, or not for every seed yet."""
    measured = trace.facts.get(fact)
    return measured is None or (fact == "reseeded" and 0 < len(measured) < trace.rounds - 1)


def assert_gradients_healthy(model: Any, inputs: Any = None, **settings: Any) -> Report:
    """Raise if the gradients of `model` are sick. Arguments and errors as in `check_gradients`, and:

    Raises:
        UnhealthyGradientsError: a finding at or above `fail_on`; an AssertionError whose text names the place, the cause and
            what to do, and whose `report` holds everything.
    """
    __tracebackhide__ = True
    report = check_gradients(model, inputs, **settings)
    if not report.ok:
        from gradcheck_health.formats.terminal import render

        raise UnhealthyGradientsError(render(report), report)
    return report


def _in_the_code(
    findings: list[Finding], model: Any, chosen: Mapping[str, Callable[..., Any]], settings: Config
) -> tuple[list[Finding], tuple[str, ...]]:
    """The findings with the lines of their places, accepted where a comment says so, and the comments that match nothing."""
    from gradcheck_health.probe import located, marked_code

    code = [inline.Code(*file) for file in marked_code(model, inline.MARK)]
    # also the rules that this run does not select
    known = {*presets.every(), *rule_files.load(settings.extra_rules)} if code else ()
    comments = inline.comments(code, known)
    return inline.silence(located(findings, model), comments, chosen)
