"""One size of a sweep: its flow under several seeds, what it costs, and how far steps of an optimizer move its outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gradcheck_health import rules as rule_files
from gradcheck_health.check.prepare import prepared
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe import probe, take
from gradcheck_health.probe.experiments.cost import cost
from gradcheck_health.probe.experiments.output_changes import kinds, output_changes
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.scale import Measured, SizePoint
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.training import Training
from gradcheck_health.rules.analysis import flow
from gradcheck_health.settings.config import Config

STEPS = 3
"""Of the optimizer, before the outputs are compared."""
FLOW_RULES = ("vanishing-gradient", "exploding-gradient")


def measure(handed: Training, config: Config, *, moves: bool) -> Measured:
    """One size. Everything comes back as it was.

    Args:
        handed: its factory, and what it is fed.
        moves: also take steps and compare the outputs.

    Raises:
        GradhealthError: as `check_gradients`.
    """
    with prepared(handed, config) as (subject, _):
        point = _flow(subject, config)
        spent = cost(subject)
    point = dataclasses.replace(
        point, parameters=spent.parameters, flops=spent.flops, seconds=spent.seconds, memory=spent.memory
    )
    if not moves:
        return Measured(point, {})
    training = _trained(config)
    changes: dict[str, list[float]] = {}
    named: dict[str, str] = {}
    optimizer = ""
    for k in range(config.rounds):
        with prepared(handed, dataclasses.replace(training, seed=config.seed + k)) as (subject, _):
            named = kinds(subject.model)
            history: list[Any] = []
            moved = output_changes(subject.model, lambda one=subject, into=history: into.append(_train(one)))  # type: ignore[misc]
            optimizer = _optimizer(history)
        for layer, value in moved.items():
            changes.setdefault(layer, []).append(value)
    found = {layer: tuple(values) for layer, values in changes.items()}
    return Measured(dataclasses.replace(point, changes=found, seeds=config.rounds), named, optimizer)


def _train(subject: Subject) -> Any:
    run: Callable[[Subject], Any] | None = subject.train
    return None if run is None else run(subject)


def _trained(config: Config) -> Config:
    """With a run of as many steps, and one pass behind them; Adam where nothing says what trains it."""
    optimizer = config.optimizer if "optimizer" in config.origins else "adam"
    return dataclasses.replace(config, steps=STEPS + 1, optimizer=optimizer)


def _optimizer(history: list[Any]) -> str:
    """`Adam(lr=0.001)` of the run that was watched."""
    tracks = [track for one in history if one is not None for track in one.tracks if track.groups]
    if not tracks:
        return ""
    rates = sorted({group.lr for group in tracks[0].groups})
    shown = f"lr={rates[0]:g}" if len(rates) == 1 else f"lr={rates[0]:g} to {rates[-1]:g}"
    return f"{tracks[0].optimizer}({shown})"


def _flow(subject: Subject, config: Config) -> SizePoint:
    """The ratios of as many seeds as there are rounds; at slightly moved weights where the given ones pass nothing."""
    trace = probe(subject)
    chosen = {name: rule_files.named(name) for name in FLOW_RULES}
    limits = rule_files.flow_limits(chosen, config.rules, trace)
    kicked = flow.ratio(trace) == 0.0
    traces = [_kicked(subject, trace) if kicked else trace]
    for k in range(1, config.rounds):
        seed = subject.seed + k
        other = subject.rebuild(seed) if subject.rebuild is not None else subject.reseeded(seed)
        with sandbox(other.model):
            seen = probe(other)
        traces.append(_kicked(other, seen) if kicked else seen)
    ratios = tuple(value for one in traces if (value := flow.ratio(one)) is not None)
    lowest, highest = (limits[name] for name in FLOW_RULES)
    return SizePoint(None, None, ratios, kicked=kicked, lowest=lowest, highest=highest, seeds=config.rounds)


def _kicked(subject: Subject, trace: Trace) -> Trace:
    return next(iter(take("kicked", subject, trace)), trace)
