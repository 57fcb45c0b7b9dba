"""The tree of layers as rows, folded until they fit: what repeats is one row, and what is sick is open down to its place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from gradcheck_health.formats._flow.layer_tree import Node
from gradcheck_health.records.finding import Finding, Severity

MAX_DEPTH = 8
REPEATS = 3
"""From so many repetitions on, layers that repeat are drawn as one."""
PERIOD = 4
"""The longest pattern of layers, (Conv2d, BatchNorm2d, ReLU, MaxPool2d), that is recognised as repeating."""
ENDS = (8, 4, 2, 1)
"""Repetitions that stay at both ends where some of them are sick."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a picture: a module, or several alike that are drawn as one."""

    depth: int
    label: str
    kind: str
    nodes: tuple[Node, ...]
    open: bool = False
    """Its children have rows of their own."""

    @property
    def folded(self) -> bool:
        return len(self.nodes) > 1

    @property
    def gradients(self) -> tuple[float, float] | None:
        """Smallest and largest gradient, relative to the head."""
        known = [node.gradient for node in self.nodes if node.gradient is not None and math.isfinite(node.gradient)]
        return (min(known), max(known)) if known else None

    @property
    def gain(self) -> float | None:
        known = [node.gain for node in self.nodes if node.gain is not None]
        return math.prod(known) if known else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What no other row shows."""
        found = (f for node in self.nodes for f in (node.findings if self.open else node.all_findings))
        return tuple(dict.fromkeys(found))

    @property
    def severity(self) -> Severity | None:
        return min((finding.severity for finding in self.findings), key=lambda severity: severity.rank, default=None)

    def worst(self, name: str) -> float | None:
        """The largest value of a share over its modules."""
        return max((value for node in self.nodes if (value := getattr(node, name)) is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much of a model is drawn."""

    depth: int
    fold: bool
    """Draw what repeats as one row."""
    ends: int
    to_the_cause: bool
    """Open what is sick down to the places of the findings, however deep they are."""


def rows(root: Node, budget: int) -> list[Row]:
    """The most detailed listing of the model's layers that has at most `budget` rows."""
    # to fold all of what is sick comes last: several sick blocks side by side tell more
    for ends, to_the_cause in ((ENDS, True), ((*ENDS, 0), False)):
        best: list[Row] = []
        for fold, depth in product((False, True), range(1, MAX_DEPTH + 1)):
            for kept in ends if fold and root.sick else ends[:1]:
                detail = _Detail(depth, fold, kept, to_the_cause)
                found = list(islice(_listing(root.children, detail, 0), budget + 1))
                if len(best) < len(found) <= budget:
                    best = found
        if best:
            return best
    return _cropped(list(_listing(root.children, _Detail(1, True, 0, False), 0)), budget)


def _listing(nodes: Sequence[Node], detail: _Detail, indent: int) -> Iterator[Row]:
    looks = [(node.kind, node.used, node.sick) for node in nodes] if detail.fold else []
    i = 0
    while i < len(nodes):
        period, times = _repetition(looks, i) if detail.fold else (1, 1)
        if times < REPEATS:
            yield from _single(nodes[i], detail, indent)
            i += 1
            continue
        stretch = nodes[i : i + period * times]
        i += len(stretch)
        kept = detail.ends * period if any(node.sick for node in stretch) else 0
        middle = stretch[kept : len(stretch) - kept]
        if len(middle) <= period:
            kept, middle = len(stretch), ()
        for node in stretch[:kept]:
            yield from _single(node, detail, indent)
        if middle:
            yield _fold(middle, period, indent)
            for node in stretch[len(stretch) - kept :]:
                yield from _single(node, detail, indent)


def _single(node: Node, detail: _Detail, indent: int) -> Iterator[Row]:
    inner_cause = detail.to_the_cause and any(child.sick for child in node.children)
    deeper = bool(node.children) and (detail.depth > 1 or inner_cause)
    yield Row(indent, _tail(node.name), node.kind, (node,), open=deeper)
    if deeper:
        yield from _listing(node.children, replace(detail, depth=detail.depth - 1), indent + 1)


def _fold(nodes: Sequence[Node], period: int, indent: int) -> Row:
    kinds = ", ".join(node.kind for node in nodes[:period])
    what = f"{len(nodes) // period} x {f'({kinds})' if period > 1 else kinds}"
    return Row(indent, f"{_tail(nodes[0].name)} .. {_tail(nodes[-1].name)}", what, tuple(nodes))


def _repetition(looks: Sequence[tuple[str, bool, bool]], start: int) -> tuple[int, int]:
    """The pattern from `start` on that covers most: its length, and how often it comes in a row."""
    best = (1, 1)
    for period in range(1, PERIOD + 1):
        pattern = looks[start : start + period]
        times = 1
        while looks[start + times * period : start + (times + 1) * period] == pattern:
            times += 1
        if times > 1 and times * period > best[0] * best[1]:
            best = (period, times)
    return best


def _cropped(listed: list[Row], budget: int) -> list[Row]:
    """The ends and what is sick; the others are counted."""
    if len(listed) <= budget:
        return listed
    wanted = {*range(3), *range(len(listed) - 3, len(listed))}
    sick = [i for i, row in enumerate(listed) if row.severity is not None and i not in wanted]
    wanted.update(sick[: max(0, budget - 2 * len(wanted))])
    kept: list[Row] = []
    left_out: list[Row] = []
    for i, row in enumerate(listed):
        if i not in wanted:
            left_out.append(row)
            continue
        if left_out:
            kept.append(_rest(left_out))
            left_out = []
        kept.append(row)
    return kept


def _rest(left_out: Sequence[Row]) -> Row:
    nodes = tuple(node for row in left_out for node in row.nodes)
    if len(nodes) == 1:
        return left_out[0]
    return Row(left_out[0].depth, f"{_tail(nodes[0].name)} .. {_tail(nodes[-1].name)}", f"{len(nodes)} layers", nodes)


def _tail(name: str) -> str:
    return name.rpartition(".")[2]
