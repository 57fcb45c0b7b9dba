"""The model as blocks in forward order, with the gradient as a stream that runs through them from the last to the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from gradcheck_health.formats._flow.axis import Axis, axis_of
from gradcheck_health.formats._flow.folded_rows import Row, rows
from gradcheck_health.formats._flow.layer_tree import Node, tree
from gradcheck_health.formats._flow.stretches import dark_side
from gradcheck_health.formats._page.visible import places
from gradcheck_health.records.finding import Finding
from gradcheck_health.records.report import Report

MAX_BLOCKS = 48


@dataclass(frozen=True, slots=True)
class Block:
    """One row of the picture."""

    depth: int
    label: str
    name: str
    kind: str
    stream: str
    """The stream while it passes the block, from above (towards the input) to below; 100 wide, 10 high."""
    gradient: float | None
    """At the block's output, the head is 1."""
    gain: float | None
    dead: float | None
    saturated: float | None
    state: str
    """called, unused, silent (called, but no gradient is known at its output), open (its parts follow, or its weights are used
    without a call) or dark (cut off)."""
    severity: str
    findings: tuple[int, ...]
    """Their numbers on the page."""
    cut: str = ""
    """What cuts the stream below this block, the last that is cut off."""


@dataclass(frozen=True, slots=True)
class Blocks:
    rows: tuple[Block, ...]
    low: float
    """The gradient at which the stream is a hair."""
    high: float

    def has(self, name: str) -> bool:
        """Some block has a share of dead or saturated units, or findings."""
        return any(getattr(row, name) for row in self.rows)


def blocks(report: Report) -> Blocks | None:
    """None for a trace without layers."""
    listed = rows(tree(report), MAX_BLOCKS)
    if not listed:
        return None
    numbers = {id(finding): i for i, finding in enumerate(report.active, 1)}
    scale = axis_of([value for row in listed if row.gradients for value in row.gradients])
    dark = dark_side(report.trace)
    shaded = _shaded(listed, frozenset() if dark is None else dark.layers)
    above = next((row.gradients[0] for row in listed if row.gradients and not row.open), 0.0)
    found = []
    for i, row in enumerate(listed):
        here = above if row.open or row.gradients is None else _last(row)
        block = _block(row, above, here, scale, numbers)
        if shaded[i]:
            last = i + 1 == len(listed) or not shaded[i + 1]
            block = replace(block, stream="", state="dark", cut=f"cut: {dark.cause}" if dark and dark.cause and last else "")
        found.append(block)
        above = here
    return Blocks(tuple(found), 10.0**scale.low, 10.0**scale.high)


def _shaded(listed: Sequence[Row], dark: Set[str]) -> list[bool]:
    """The rows that the gradient does not reach: they hold nothing but layers of the dark side, or lie among such rows."""
    found: list[bool | None] = []
    for row in listed:
        leaves = [leaf for node in row.nodes for leaf in _leaves(node)]
        cut = [leaf.name in dark for leaf in leaves if leaf.called]
        reached = any(leaf.gradient is not None for leaf in leaves)
        found.append(False if reached or not any(leaf.called for leaf in leaves) else True if any(cut) else None)
    for i, known in enumerate(found):  # what holds no parameter is where its neighbours are
        if known is None:
            found[i] = i > 0 and bool(found[i - 1])
    return [bool(one) for one in found]


def _leaves(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _leaves(child)


def _last(row: Row) -> float:
    """At the output of what the row stands for."""
    known = [node.gradient for node in row.nodes if node.gradient is not None and node.gradient == node.gradient]
    return known[-1] if known else 0.0


def _block(row: Row, above: float, here: float, scale: Axis, numbers: Mapping[int, int]) -> Block:
    node = row.nodes[0]
    called = any(one.called for one in row.nodes)
    known = row.gradients is not None
    used = any(one.used for one in row.nodes)
    state = "unused" if not used else "open" if row.open or not called else "called" if known else "silent"
    return Block(
        depth=min(row.depth, 6),
        label=row.label or node.name,
        name=node.name if not row.folded else f"{node.name} to {row.nodes[-1].name}",
        kind=row.kind,
        stream=_stream(scale, above, here) if used else "",
        gradient=_last(row) if known else None,
        gain=row.gain,
        dead=row.worst("dead"),
        saturated=row.worst("saturated"),
        state=state,
        severity="" if row.severity is None else row.severity.value,
        findings=_numbers(row.findings, numbers),
    )


def _numbers(findings: Sequence[Finding], numbers: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(sorted({numbers[id(finding)] for finding in findings if id(finding) in numbers}))


def _stream(scale: Axis, above: float, below: float) -> str:
    top, bottom = _half(scale, above), _half(scale, below)
    corners = ((50 - top, 0), (50 + top, 0), (50 + bottom, 10), (50 - bottom, 10))
    return "M" + "L".join(f"{places(x)} {y}" for x, y in corners) + "Z"


def _half(scale: Axis, value: float) -> float:
    """Half of the width; nothing at all is left of an exact zero."""
    return 0.0 if not value > 0 else 1.5 + 47 * scale.position(value)
