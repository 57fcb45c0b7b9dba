"""Find the input size that gives a wanted size deep inside the network: vary, fit a power law, step, bisect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gradcheck_health.inputs.plan import Leaf, Path, Plan
from gradcheck_health.inputs.wants.edits import Measure, scalable

if TYPE_CHECKING:
    from gradcheck_health.inputs.search.trial import Outcome

_MOST = 4096
_USUAL = (28, 32, 48, 64, 84, 96, 100, 112, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512, 1024)
_TRIALS = 9
_IMAGE = 224
DEAR = 60e9
"""What one trial may cost, multiply-adds times two."""


def solve(start: Outcome, base: Plan, key: Any, run: Callable[[Plan], Outcome], budget: Callable[[], bool]) -> list[Outcome]:
    """Outcomes of trials that got past the measure `key`, or at least as far with it satisfied; best first.

    `run` tries a plan, `budget` says whether another trial may be paid for.
    """
    measure = start.measures[key]
    found: list[Outcome] = []
    for change in _changes(base, measure.paths):
        result = _along(start, base, key, change, run, budget)
        if result is None and "H" in change.names and budget() and start.flops * (_IMAGE / change.now(base)) ** 2 < DEAR:
            # windows, position tables and fixed heads are cut for this size more than for any other
            usual = run(change.at(base, _IMAGE))
            result = usual if usual.ok or usual.coverage > start.coverage else None
        if result is not None:
            result = _snapped(start, base, change, result, run, budget)
            found.append(result)
            if result.ok or result.coverage > start.coverage:
                return found
    return found


def _snapped(
    start: Outcome, base: Plan, change: SizeChange, result: Outcome, run: Callable[[Plan], Outcome], budget: Callable[[], bool]
) -> Outcome:
    """The nearest size that people use, if it does as well: floors let a whole range of sizes pass."""
    if change.path is not None:
        return result
    size = change.now(result.plan)
    near = sorted((n for n in _USUAL if abs(n - size) <= size / 8), key=lambda n: abs(n - size))
    for value in near[:2]:
        if value == size or not budget():
            return result
        outcome = run(change.at(base, value))
        if (outcome.ok and not outcome.mixed) >= (result.ok and not result.mixed) and outcome.coverage >= result.coverage:
            return outcome
    return result


@dataclass(frozen=True, slots=True)
class SizeChange:
    """Sizes that move together: everywhere, or in one argument alone."""

    names: tuple[str, ...]
    path: Path | None = None

    def at(self, plan: Plan, value: int) -> Plan:
        leaf = plan.get(self.path) if self.path is not None else None
        if self.path is None or not isinstance(leaf, Leaf):
            return plan.resize(**dict.fromkeys(self.names, value))
        dims = tuple(value if dim in self.names else dim for dim in leaf.dims)
        return plan.put(self.path, replace(leaf, dims=dims))

    def now(self, plan: Plan) -> int:
        return plan.size(self.names[0])


def _changes(plan: Plan, paths: tuple[Path, ...]) -> list[SizeChange]:
    names = scalable(plan, paths)
    square = ("H", "W", "D") if "D" in names and plan.size("D") == plan.size("H") else ("H", "W")
    together = [SizeChange(square)] if {"H", "W"} <= set(names) else []
    alone = [
        SizeChange(group, path)
        for path in paths
        for group in (("H", "W"), ("T",), ("L",))
        if isinstance(leaf := plan.get(path), Leaf) and not leaf.fixed and set(group) <= set(leaf.dims)
        if any(other != path and set(group) & set(node.dims) for other, node in plan.leaves())
    ]
    single = [SizeChange((name,)) for name in names if name != "B"]
    deep = [SizeChange(("D", "H", "W"))] if {"D", "H"} <= set(names) else []
    return together + alone + single + deep


def _along(
    start: Outcome, base: Plan, key: Any, change: SizeChange, run: Callable[[Plan], Outcome], budget: Callable[[], bool]
) -> Outcome | None:
    """One free size: two points give the law, then bisection between the nearest ones below and above."""
    # Example: `nn.Linear(4608, 10)` behind flattened convolutions got 512 features from images of side 12. Side 24 gives
    # 3200, so by the power law the next guess is about 28: got 4608, done. Where two points give no law, the bracket is
    # halved.
    want, got = start.measures[key].want, start.measures[key].got
    least = 2 if start.measures[key].stretched else 1  # an axis of one entry is broadcast: it fits, and says nothing
    size = change.now(base)
    points = {size: got}
    candidate = size * 2 if got < want else max(1, size // 2)
    for _ in range(_TRIALS):
        # cost grows with every size that moves: no single trial may eat the whole budget
        cost = start.flops * (candidate / size) ** len(change.names)
        if not budget() or candidate in points or not least <= candidate <= _MOST or cost > DEAR:
            return None
        outcome = run(change.at(base, candidate))
        measure = _found_again(outcome, key, start)
        if outcome.ok and not outcome.mixed:
            return outcome
        if measure is None:
            if outcome.coverage > start.coverage or outcome.place != start.place and outcome.coverage >= start.coverage:
                return outcome
            if len(points) > 1:
                return None
            # too small or too large for something earlier: try nearer
            points[candidate] = -1
            candidate = size + (size // 2 if got < want else -max(1, size // 4))
            continue
        if measure.want != want and measure.got * want == got * measure.want:
            return None  # both sides grow alike: no size of this kind brings them together
        want = measure.want
        points[candidate] = measure.got
        known = {s: g for s, g in points.items() if g >= 0}
        if len(set(known.values())) == 1:
            return None
        following = _next(known, want, set(points))
        if following is None:
            return None
        candidate = following
    return None


def _found_again(outcome: Outcome, key: Any, start: Outcome) -> Measure | None:
    """The same measure in another trial. A view that mixed samples and one that raised are the same view."""
    wanted = start.measures[key]
    same = (m for m in outcome.measures.values() if m.want == wanted.want and m.paths == wanted.paths)
    return outcome.measures.get(key) or next(same, None)


def _next(points: dict[int, int], want: int, tried: set[int]) -> int | None:
    """The next size to try: by the power law through two points, kept inside the bracket once there is one."""
    ordered = sorted(points)
    below = max((s for s in ordered if points[s] < want), default=None)
    above = min((s for s in ordered if points[s] > want and (below is None or s > below)), default=None)
    if below is not None and above is not None:
        a, b = below, above
    elif below is not None:  # all are too small: from the two largest on
        a, b = ordered[-2], ordered[-1]
    else:
        a, b = ordered[0], ordered[1]
    guess = _law(a, points[a], b, points[b], want)
    low = below + 1 if below is not None else 1
    high = above - 1 if above is not None else _MOST
    if low > high:
        return None
    for value in (*_round(guess, low, high), guess, guess + 1, guess - 1, (low + high) // 2 if above is not None else low * 2):
        if low <= value <= high and value not in tried:
            return value
    return None


def _law(a: int, ga: int, b: int, gb: int, want: int) -> int:
    if ga <= 0 or gb <= 0 or a == b or ga == gb:
        return (a + b) // 2
    power = max(1, round(math.log(gb / ga) / math.log(b / a)))
    power = min(power, 3)
    ra, rb, rw = ga ** (1 / power), gb ** (1 / power), want ** (1 / power)
    if ra == rb:
        return (a + b) // 2
    exact: float = a + (rw - ra) * (b - a) / (rb - ra)
    return round(exact)


def _round(guess: int, low: int, high: int) -> list[int]:
    """Sizes that people use, where one is within a twentieth of the guess."""
    return sorted((n for n in _USUAL if abs(n - guess) <= guess / 20 and low <= n <= high), key=lambda n: abs(n - guess))[:1]
