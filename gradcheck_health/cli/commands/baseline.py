"""`gradhealth baseline`: write, update, prune and show what a model is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck_health import baseline as baselines
from gradcheck_health.baseline import Baseline, files
from gradcheck_health.cli.commands import _session
from gradcheck_health.cli.workers import pool
from gradcheck_health.formats._text import escape, safe_lines, shorten, wrap
from gradcheck_health.records.errors import ExitCode, GradhealthError, UsageError
from gradcheck_health.records.launch import in_turn, writes
from gradcheck_health.records.report import Failure, NothingToCheck, Report
from gradcheck_health.settings.config import FOLDER
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.expand import expand

ACTIONS = ("write", "update", "prune")


@dataclass(frozen=True, slots=True)
class Order:
    """What shall become of the baselines of some targets."""

    action: str
    request: _session.CheckRequest
    """Targets and settings, as for a check."""
    reason: str = baselines.NO_REASON
    """Why findings that no baseline accepts yet are accepted."""
    force: bool = False
    """`write` replaces what is there."""


def run(order: Order, show: _session.Write, tell: _session.Write, status: _session.Write = lambda _: None) -> int:
    """Measure every model of every target, and change its baseline.

    Returns:
        0, or the worst exit code of a target for which there is no baseline now.

    Raises:
        UsageError: nothing is run: `CI` is set, or an option, a setting or a target cannot be right.
    """
    files.refuse_in_ci()
    with in_turn():
        return _run(order, *((show, tell, status) if writes() else (_unseen, tell, _unseen)))


def _unseen(text: str) -> None:
    """Takes what another rank shows."""


def _run(order: Order, show: _session.Write, tell: _session.Write, status: _session.Write) -> int:
    sources, config = _session.settings(order.request)
    place = config.baseline or FOLDER
    sources.append(Source("gradhealth baseline", {"baseline": place}))
    done, code = 0, 0
    written: dict[Path, str] = {}
    for target, from_folder in expand(order.request.targets):
        status(f"measuring {target}")
        nothing: list[str] = []
        before = done, code
        for result in pool.measure(target, sources, config.timeout, tell):
            if isinstance(result, NothingToCheck):
                nothing.append(_session.message(result))
                continue
            try:
                own = files.path_for(place, result.target or "")
                if not isinstance(result, Failure) and written.setdefault(own, result.target or "") != result.target:
                    raise files.another(own, written[own], result.target or "")
                if isinstance(result, Failure):
                    raise GradhealthError(_session.message(result))
                if writes():
                    show(_told(result, order, Path(place)))
                done += 1
            except GradhealthError as error:
                tell(f"error: {safe_lines(str(error))}\n")
                code = max(code, result.exit_code if isinstance(result, Failure) else error.exit_code)
        if not from_folder and (done, code) == before:
            tell(f"error: {safe_lines('; '.join(nothing))}\n")
            code = max(code, ExitCode.USAGE)
        status("")
    if not done and not code:
        tell("nothing was measured: no model was found; name one, as in `gradhealth baseline write model.py:Net`\n")
    return code if done or code else ExitCode.USAGE


def _told(result: Report, order: Order, place: Path) -> str:
    """Change one baseline, and say what it holds now.

    Raises:
        GradhealthError: it stays as it was.
    """
    target = result.target or ""
    path = files.path_for(place, target)
    seen: list[Baseline | None] = []

    def changed(old: Baseline | None) -> Baseline:
        seen.append(old)
        return _changed(order, result, old, path)

    written = files.update(path, changed)
    new = files.read(path)
    return "".join(f"{line}\n" for line in _summary(order, seen[0], new, result, written))


def _changed(order: Order, report: Report, old: Baseline | None, path: Path) -> Baseline:
    target = report.target or ""
    if order.action == "write" and old is not None and not order.force:
        raise UsageError(
            f"{path} is there already: `{baselines.command('update', target)}` keeps its reasons, --force does not"
        )
    if not order.force:
        files.refuse_another(path, old, target)
    if order.action == "prune":
        if old is None:
            raise UsageError(f"no baseline {path} for {target}: there is nothing to prune")
        return baselines.pruned(old, report)
    return baselines.of(report, order.reason, None if order.action == "write" else old)


def _summary(order: Order, old: Baseline | None, new: Baseline, report: Report, written: bool) -> list[str]:
    before = set(old.accepted) if old is not None and order.action != "write" else set()
    fresh = [key for key in new.accepted if key not in before]
    gone = sorted(before - set(new.accepted))
    verb = {"write": "written", "update": "updated", "prune": "pruned"}[order.action] if written else "unchanged"
    lines = [f"{safe_lines(report.target or '')}: {verb}: {safe_lines(new.path)}"]
    if order.action != "prune":
        over = "batches" if new.profile.fixed else "seeds"
        lines.append(f"    flow       {len(new.profile.levels)} layers over {len(new.profile.seeds)} {over}")
    lines += [f"    accepted   {safe_lines(key)}: {safe_lines(new.accepted[key])}" for key in fresh]
    lines += [f"    gone       {safe_lines(key)}" for key in gone]
    if len(new.accepted) > len(fresh):
        lines.append(f"    kept       {len(new.accepted) - len(fresh)} accepted")
    if fresh and order.reason == baselines.NO_REASON:
        lines.append(f"say why these are accepted: --reason TEXT, or edit {safe_lines(new.path)}")
    return lines


def show(names: Sequence[str], place: str, write: Callable[[str], None], width: int) -> int:
    """Print baselines: named by file, by target, or all of a folder."""
    for name in names or [place]:
        for path in _found(name, place):
            write("\n".join(_lines(files.read(path), width)) + "\n")
    return 0


def _found(name: str, place: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        inside = sorted(path.glob("*.json"))
        if not inside:
            raise UsageError(f"{name}: no baseline in it; write one with `gradhealth baseline write model.py:Net`")
        return inside
    if path.suffix == ".json":
        return [path]
    if not name or name == place:
        raise UsageError(f"no folder {place}: write a baseline with `gradhealth baseline write model.py:Net`")
    return [files.path_for(place, name)]


def _lines(baseline: Baseline, width: int) -> Iterator[str]:
    """A baseline for people: what it is of, what it accepts, how the gradient flows."""
    profile = baseline.profile
    yield f"{escape(baseline.path)}: {escape(baseline.target) or escape(baseline.model)}"
    about = ", ".join(f"{escape(key)} {escape(value)}" for key, value in sorted(baseline.environment.items()))
    over = "batches" if profile.fixed else "seeds"
    yield from wrap(f"{escape(baseline.model)} on {escape(baseline.inputs)}; {about}", width, "    of         ")
    yield from wrap(f"{len(profile.seeds)} {over}; fingerprint {baseline.fingerprint}", width, "    over       ")
    for key, reason in sorted(baseline.accepted.items()):
        yield from wrap(f"{escape(key)}: {escape(reason)}", width, "    accepted   ")
    for name, share in sorted(profile.shares.items()):
        yield f"    {'share':9}  {escape(name)} {share.value:.1%} +- {100 * share.spread:.2g} points"
    longest = min(max((len(escape(level.name)) for level in profile.levels), default=0), 40)
    for level in profile.levels:
        value = "no gradient" if level.decades is None else f"{level.decades:+.2f} +- {level.spread or 0:.2f} decades"
        yield f"    {'flow':9}  {shorten(escape(level.name), 40).ljust(longest)}  {value}"
