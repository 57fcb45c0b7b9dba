"""What changed against a baseline or another run: wrapped for a terminal, or one line a difference for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gradcheck_health.baseline.commands import command
from gradcheck_health.formats._text import escape, shorten, wrap
from gradcheck_health.records.change import Change, Entry, Restructured, Shift, Verdict
from gradcheck_health.records.wording import counted

_SHOWN = 4
_FLAT = 40
_NAME = 40


def lines(change: Change, width: int, *, verbose: bool = False, new: bool = False) -> Iterator[str]:
    """A few lines: how much was compared, what moved, what is another structure, what is gone.

    Args:
        verbose: every shift and every structural change.
        new: findings that are new, where they are not shown as findings.
    """
    where = shorten(escape(change.against), 60) or "the other run"
    seen = [shift for shift in change.shifts if shift.metric != "gain"] or change.shifts
    moved = "; ".join(text for verdict in Verdict if (text := _counted(seen, verdict)))
    yield from wrap(f"{where}: {counted(change.compared, 'layer')} compared, {moved or 'none moved'}", width, "baseline: ", 10)
    yield from _shifts(change.shifts, width, None if verbose else _SHOWN)
    for text in _structure(change.structure, None if verbose else _SHOWN):
        yield from wrap(text, width, " " * 10)
    for entry in change.new if new else ():
        yield from wrap(escape(f"new: {_entry(entry)}"), width, " " * 10)
    for entry in change.gone:
        yield from wrap(escape(f"gone: {_entry(entry)}"), width, " " * 10)
    if change.gone and change.target:
        yield f"{'prune:':10}{command('prune', escape(change.target))}"
    for note in change.notes:
        yield from wrap(f"note: {escape(note)}", width, " " * 10)


def flat(change: Change | None) -> Iterator[str]:
    """One line a difference, not yet escaped; none where nothing was compared or nothing changed."""
    if change is None:
        return
    texts = [
        *map(_shift, change.shifts),
        *(f"new: {_entry(entry)}" for entry in change.new),
        *(f"gone: {entry.key}" for entry in change.gone),
        *map(_restructured, change.structure),
        *change.notes,
    ]
    yield from texts[:_FLAT]
    if len(texts) > _FLAT:
        yield f"and {counted(len(texts) - _FLAT, 'more difference')}"


def _counted(shifts: Sequence[Shift], verdict: Verdict) -> str:
    layers = sum(shift.metric in ("flow", "gain") and shift.verdict is verdict for shift in shifts)
    others = [shift.metric for shift in shifts if shift.metric not in ("flow", "gain") and shift.verdict is verdict]
    return ", ".join([*([f"{layers} {verdict}"] if layers else []), *(f"{metric} {verdict}" for metric in others)])


def _shifts(shifts: Sequence[Shift], width: int, limit: int | None) -> Iterator[str]:
    """The largest first; gains say where a change of flow starts, and are shown where nothing else moved."""
    flows = [shift for shift in shifts if shift.metric != "gain"] or list(shifts)
    shown = sorted(flows, key=lambda shift: -_size(shift))
    for shift in shown[:limit]:
        yield from wrap(escape(_shift(shift)), width, " " * 10, 12)
    if limit is not None and len(shown) > limit:
        yield f"{'':10}and {len(shown) - limit} more (-v)"


def _size(shift: Shift) -> float:
    return float("inf") if shift.amount is None else abs(shift.amount) / max(shift.allowed, 1e-9)


def _shift(shift: Shift) -> str:
    unit = shift.metric in ("flow", "gain")

    def told(value: float | None) -> str:
        if value is None:
            return "no gradient" if unit else "none"
        return f"{value:+.2f}" if unit else f"{value:.1%}"

    name = f" at {shorten(shift.name, _NAME)}" if shift.name else ""
    allowed = f"{shift.allowed:.2g} decades" if unit else f"{100 * shift.allowed:.2g} points"
    sign = "fails" if shift.fails else shift.verdict
    return f"{sign}: {shift.metric}{name}: {told(shift.before)} -> {told(shift.now)} ({allowed} allowed)"


def _structure(structure: Sequence[Restructured], limit: int | None) -> Iterator[str]:
    """`3 parameters added, 1 renamed (same shape)`, then the first few of what says most."""
    counts: dict[tuple[str, str], int] = {}
    for entry in structure:
        counts[entry.what, entry.how] = counts.get((entry.what, entry.how), 0) + 1
    if counts:
        yield "structure: " + ", ".join(
            f"{counted(n, what)} {how}{' (same shape)' if how == 'renamed' else ''}" for (what, how), n in counts.items()
        )
    telling = [entry for entry in structure if limit is None or entry.how in ("replaced", "reshaped", "renamed", "frozen")]
    shown = _covered(telling)
    for entry in shown[:limit]:
        yield f"  {escape(_restructured(entry))}"
    if limit is not None and len(shown) > limit:
        yield f"  and {len(shown) - limit} more (-v)"


def _covered(structure: Iterable[Restructured]) -> list[Restructured]:
    """Without the parameters of layers that were renamed."""
    layers = {entry.name for entry in structure if entry.what == "layer" and entry.how == "renamed"}
    return [e for e in structure if not (e.how == "renamed" and e.what == "parameter" and e.name.rpartition(".")[0] in layers)]


def _restructured(entry: Restructured) -> str:
    name, before, now = (shorten(text, _NAME) for text in (entry.name, entry.before, entry.now))
    if entry.how == "renamed":
        return f"{entry.what} renamed: {before} -> {name}"
    values = " -> ".join(text for text in (before, now) if text)
    return f"{entry.what} {entry.how}: {name}" + (f": {values}" if values else "")


def _entry(entry: Entry) -> str:
    return f"{entry.key}: {entry.text}" if entry.text else entry.key
