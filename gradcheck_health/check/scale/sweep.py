"""What the sizes of a sweep show together: the fits, one more depth at which the prediction is checked, and the verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gradcheck_health.check.scale.fit import checked, depth_fit, layer_slopes, to_check
from gradcheck_health.check.scale.measure import STEPS, measure
from gradcheck_health.check.scale.sizes import Size, names_of, plan
from gradcheck_health.check.suppressions import accept
from gradcheck_health.records.errors import UsageError, describe_error
from gradcheck_health.records.finding import Finding, worst_first
from gradcheck_health.records.report import Report
from gradcheck_health.records.scale import SEEDS, WIDTHS, Measured, Scale, SizePoint, Sweep
from gradcheck_health.records.training import Training
from gradcheck_health.settings.config import Config
from gradcheck_health.targets.arguments.bind import bound
from gradcheck_health.targets.arguments.sizes import with_sizes

RULES = ("depth-limited", "width-unstable")
"""What judges a sweep."""
MeasureAll = Callable[[Sequence[Size]], Iterable[Measured | str]]
"""What the sizes show, in their order; of a size that cannot be measured the reason."""


def swept(depth: Sequence[int], width: Sequence[int], names: Mapping[str, str], measure_all: MeasureAll, seeds: int) -> Scale:
    """What the sizes show together, with the prediction checked at one more depth."""
    sizes = plan(depth, width)
    seen = list(zip(sizes, measure_all(sizes), strict=True))
    points = [_point(size, one) for size, one in seen]
    notes = []
    fit = depth_fit(points[: len(depth)]) if depth else None
    if depth and fit is None:
        notes.append("the depth scale: the flow could be judged at fewer than two depths")
    if fit is not None and (beyond := to_check(fit)) is not None:
        size = Size(beyond, width[0] if width else None)
        points += [_point(size, one) for one in measure_all([size])]
        fit = checked(fit, points[-1])
    known = [one for _, one in seen if isinstance(one, Measured) and one.point.changes]
    slopes = layer_slopes(points, known[0].kinds) if known else ()
    widths = tuple(point.width for point in points if point.changes and point.width is not None)
    if width and (len(widths) < WIDTHS or seeds < SEEDS):
        notes.append(f"the width is not judged: {len(widths)} widths and {seeds} seeds, it takes {WIDTHS} and {SEEDS} of them")
    optimizer = known[0].optimizer if known else ""
    return Scale(
        tuple(points), names.get("depth"), names.get("width"), fit, slopes, widths, seeds, optimizer,
        STEPS if known else 0, tuple(notes),
    )  # fmt: skip


def measured_here(sweep: Sweep, handed: Training, config: Config) -> Scale:
    """The sizes one after the other in this process.

    Args:
        handed: what every size is fed and trained with.
    """
    names = names_of(sweep)

    def one_by_one(sizes: Sequence[Size]) -> Iterator[Measured | str]:
        for size in sizes:
            factory = bound(sweep.factory, with_sizes(sweep.arguments, size.sizes(names)))
            try:
                yield measure(dataclasses.replace(handed, model=factory), config, moves=size.moves)
            except Exception as error:  # noqa: BLE001 - a size that cannot be built or run says so, the others go on
                yield _reason(error)

    return swept(sweep.depth, sweep.width, names, one_by_one, config.rounds)


def concluded(report: Report, scale: Scale, rules: Mapping[str, Callable[..., Any]], config: Config) -> Report:
    """The report on the first size, with what the sweep showed and what its rules say."""
    trace = dataclasses.replace(report.trace, scale=scale)
    ran = [name for name in RULES if name in rules]
    found = [one for name in ran for one in rules[name](trace, **config.rules.get(name, {})) if isinstance(one, Finding)]
    findings, unmatched = accept(found, config.ignore, ran, config.expect)
    others = [one for one in report.findings if one.rule not in RULES]  # one that is expected was not there yet
    known = [entry for entry in report.unmatched if entry.partition(":")[0] not in RULES]
    ordered = worst_first([*others, *findings])
    return dataclasses.replace(report, trace=trace, findings=ordered, unmatched=(*known, *unmatched))


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, UsageError) else describe_error(error)
    return text.partition("\n")[0]


def _point(size: Size, seen: Measured | str) -> SizePoint:
    if isinstance(seen, str):
        return SizePoint(size.depth, size.width, skipped=seen)
    return dataclasses.replace(seen.point, depth=size.depth, width=size.width)
