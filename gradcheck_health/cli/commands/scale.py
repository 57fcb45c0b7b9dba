"""`gradhealth scale`: a factory in several sizes, each measured in a process of its own, and what they say together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gradcheck_health import formats, rules
from gradcheck_health.check.scale.sizes import Size, plan, refuse_odd
from gradcheck_health.cli.commands import _session
from gradcheck_health.cli.workers import pool
from gradcheck_health.formats._text import safe_lines
from gradcheck_health.records.errors import ExitCode
from gradcheck_health.records.files import write
from gradcheck_health.records.report import Failure, NothingToCheck, Report
from gradcheck_health.records.scale import FactorySizes, Measured
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.models import declared
from gradcheck_health.settings.resolution import resolve
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.arguments.sizes import with_sizes
from gradcheck_health.targets.expand import expand


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What the user asked for on the command line."""

    check: _session.CheckRequest
    """Targets and settings, as for a check."""
    depth: tuple[int, ...] = ()
    width: tuple[int, ...] = ()
    names: Mapping[str, str | None] = field(default_factory=dict)
    """"depth" and "width" -> the argument of the factory, None where it is to be found."""


def run(request: SweepRequest, show: _session.Write, tell: _session.Write, status: _session.Write = lambda _: None) -> int:
    """Sweep every target and write every output.

    Returns:
        The exit code.

    Raises:
        UsageError: before anything is run, where an option, a setting or a target cannot be right.
    """
    refuse_odd(request.depth, request.width)
    own = request.check
    writers = [(path, formats.find(path)) for path in own.outputs]
    form = formats.find(own.output_format or "terminal")
    sources, config = _session.settings(own)
    done = _session.Run()
    streaming = own.output_format in (None, "terminal")
    for target, _ in expand(own.targets or declared(sources)):
        for result in _swept(target, request, sources, config, tell, status):
            if isinstance(result, Failure):
                done.failures.append(result)
                tell(f"not measured: {safe_lines(_session.message(result))}\n")
                continue
            done.reports.append(_session.repeatable(result, own.command, own))
            if streaming:
                _session.show_report(done.reports[-1], own, show, first=len(done.reports) == 1)
    status("")
    code = done.exit_code(own.exit_zero)
    if not streaming:
        show(formats.render_run(form, done.reports, done.failures, code))
    written = [write(path, formats.render_run(module, done.reports, done.failures, code), tell) for path, module in writers]
    return code if all(written) else max(code, ExitCode.USAGE)


def _swept(
    target: str,
    request: SweepRequest,
    sources: Sequence[Source],
    config: Config,
    tell: _session.Write,
    status: _session.Write,
) -> Iterator[Report | Failure]:
    """The report on every factory of a target that has the sizes; where none has, why."""
    status(f"looking for the sizes of {target}")
    found, refused = [], []
    for one in pool.sizes(target, sources, config.timeout, tell):
        if isinstance(one, NothingToCheck):
            refused.append(Failure(one.target, one.message, ExitCode.USAGE))
        elif isinstance(one, Failure):
            refused.append(one)
        else:
            names = _names(one, request)
            if isinstance(names, str):
                refused.append(Failure(one.target, names, ExitCode.USAGE))
            else:
                found.append((one.target, names))
    if not found:
        yield from refused[:1] or [Failure(target, "no model in it", ExitCode.USAGE)]
    for where, names in found:
        yield _of_one(where, names, request, sources, tell, status)


def _names(one: FactorySizes, request: SweepRequest) -> dict[str, str] | str:
    """The arguments to vary; or why there is one too few."""
    names = {}
    for what, values, found, why in (
        ("depth", request.depth, one.depth, one.no_depth),
        ("width", request.width, one.width, one.no_width),
    ):
        named = request.names[what] or found
        if values and named is None:
            return why
        if values and named is not None:
            names[what] = named
    if len(set(names.values())) < len(names):
        return f"depth and width are the same argument {names['depth']!r}: name one with --depth-name or --width-name"
    return names


def _of_one(
    target: str,
    names: Mapping[str, str],
    request: SweepRequest,
    sources: Sequence[Source],
    tell: _session.Write,
    status: _session.Write,
) -> Report | Failure:
    from gradcheck_health.check.scale.sweep import concluded, swept

    config = resolve(sources, known_rules=None, names=(target,))

    def settings(size: Size) -> list[Source]:
        return [*sources, Source("gradhealth scale", {"args": with_sizes(config.args, size.sizes(names))})]

    def measured(sizes: Sequence[Size]) -> Iterator[Measured | str]:
        status(f"measuring {target}: {sizes[0]}")
        runs = [(settings(size), size.moves) for size in sizes]
        for i, one in pool.at_sizes(target, runs, config.timeout, tell, request.check.jobs):
            if i + 1 < len(sizes):
                status(f"measuring {target}: {sizes[i + 1]} ({i + 2} of {len(sizes)})")
            yield one if isinstance(one, Measured) else one.message.partition("\n")[0].removeprefix(f"{target}: ")

    first = plan(request.depth, request.width)[0]
    status(f"checking {target}: {first}")
    base = next(iter(pool.check(target, settings(first), config.timeout, tell)))
    if isinstance(base, NothingToCheck):
        return Failure(target, base.message, ExitCode.USAGE)
    if isinstance(base, Failure):
        return base
    scale = swept(request.depth, request.width, names, measured, config.rounds)
    chosen = {} if config.preset is not None else rules.builtin()
    if config.select is not None:
        chosen = {name: rule for name, rule in chosen.items() if name in config.select}
    return concluded(base, scale, chosen, config)
