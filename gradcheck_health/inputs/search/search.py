"""Best-first search over plans: try, ask the failure what it wanted, edit, try the most promising edit next."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from gradcheck_health.inputs.plan import Edit, Leaf, Plan
from gradcheck_health.inputs.search.fallbacks import explore
from gradcheck_health.inputs.search.hopeless import RepeatedFailure
from gradcheck_health.inputs.search.solver import DEAR, solve
from gradcheck_health.inputs.search.trial import Outcome, TrialRunner
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.records.errors import one_line

TRIALS = 140
"""Trials for one model. Counted, never timed: results must not depend on how busy the machine is."""
PATIENCE = 25
"""Further trials after one that ran but mixed samples."""
STALE = 40
"""Trials in a row that may fail as earlier ones did, and no further on."""
WORK = 400e9
"""What all trials together may cost, counted as `Outcome.work`; an entry of a made-up tensor counts 300 besides."""
MAX_ELEMENTS = 1 << 25
"""No made-up tensor is larger."""


@dataclass(slots=True)
class Found:
    """The end of a search."""

    best: Outcome
    """The successful trial, or the failed one that got furthest."""
    trials: int
    notes: tuple[str, ...]
    """What led from the first guess to the best plan."""
    hopeless: bool = False
    """What got furthest failed in one way, whatever it was fed."""


class Search:
    """One search for one model."""

    def __init__(
        self,
        info: ModelInfo,
        seed: int,
        trials: int = TRIALS,
        allowed: Callable[[Plan], bool] = lambda plan: True,
        work: float = WORK,
    ) -> None:
        self.bench = TrialRunner(info, seed)
        self.trials, self.allowed, self.work = trials, allowed, work
        self.visited: set[str] = set()
        self.outcomes: dict[str, Outcome] = {}
        """By the plan: two ways may lead to the same sizes."""
        self.heap: list[tuple[float, int, Edit, Outcome | None, tuple[str, ...]]] = []
        self.order = 0
        self.start = Plan(())
        self.mixed: tuple[Outcome, tuple[str, ...]] | None = None
        self.furthest: tuple[Outcome, tuple[str, ...]] | None = None
        self.failures: set[str] = set()
        self.sameness = RepeatedFailure()
        self.told = 0
        """The last trial that showed something new: another failure, or more call sites."""

    def affordable(self) -> bool:
        stale = self.bench.trials - self.told > STALE
        return self.bench.trials < self.trials and self.bench.work < self.work and not stale and not self.sameness.hopeless

    def run(self, plan: Plan) -> Outcome:
        if (known := self.outcomes.get(plan.key())) is not None:
            return known
        within = self.allowed(plan) and not too_large(plan)
        outcome = self.bench.run(plan) if within else Outcome(plan, False, 0)
        if outcome.ok and (other := _another_batch(plan, self.start)) is not None:
            again = self.bench.run(other)
            if not again.ok:  # what ran was of the size of the batch by chance
                outcome.mixed, outcome.edits, outcome.measures, outcome.place = True, again.edits, again.measures, again.place
        self.visited.add(plan.key())
        self.outcomes[plan.key()] = outcome
        self._listen(outcome)
        return outcome

    def _listen(self, outcome: Outcome) -> None:
        self.sameness.take(outcome)
        failure = re.sub(r"\d+", "#", f"{outcome.place} {one_line(outcome.error) if outcome.error is not None else outcome.ok}")
        further = self.furthest is None or outcome.coverage > self.furthest[0].coverage
        if further or failure not in self.failures:
            self.told = self.bench.trials
        self.failures.add(failure)

    def find(self, *starts: Plan) -> Found:
        """Search from these plans, the first one first, until one runs or the budget is spent."""
        self.start = starts[0]
        for number, plan in enumerate(starts):
            self._push(-1e6 + number, Edit(plan, 0.0, ""), None, ())
        while self.heap and self.affordable():
            _, _, edit, parent, notes = heapq.heappop(self.heap)
            for outcome, trail in self._expand(edit, parent, notes):
                if outcome.ok and not outcome.mixed:
                    return Found(outcome, self.bench.trials, trail)
                if outcome.ok and self.mixed is None:
                    self.mixed = (outcome, trail)
                    self.trials = min(self.trials, self.bench.trials + PATIENCE)
                self._remember(outcome, trail)
                self._branch(outcome, trail)
        best, trail = self.mixed or self.furthest or (Outcome(starts[0], False, 0), ())
        return Found(best, self.bench.trials, trail, self.sameness.hopeless)

    def _expand(self, edit: Edit, parent: Outcome | None, notes: tuple[str, ...]) -> list[tuple[Outcome, tuple[str, ...]]]:
        trail = (*notes, edit.note) if edit.note else notes
        if edit.measure is not None and parent is not None:
            task = f"{edit.plan.key()} {edit.measure}"
            if task in self.visited:
                return []
            self.visited.add(task)
            tried: list[Outcome] = []

            def run(plan: Plan) -> Outcome:
                tried.append(self.run(plan))
                return tried[-1]

            solved = solve(parent, edit.plan, edit.measure, run, self.affordable)
            # a size that fails elsewhere, nearly as far on, may tell more than the one that was varied
            aside = [o for o in tried if o not in solved and o.place != parent.place and 10 * o.coverage >= 9 * parent.coverage]
            return [(outcome, trail) for outcome in solved + aside[:2]]
        if edit.plan.key() in self.visited or (parent is not None and _dear(edit.plan, parent)):
            return []
        return [(self.run(edit.plan), trail)]

    def _remember(self, outcome: Outcome, trail: tuple[str, ...]) -> None:
        if self.furthest is None or outcome.coverage > self.furthest[0].coverage:
            self.furthest = (outcome, trail)

    def _branch(self, outcome: Outcome, trail: tuple[str, ...]) -> None:
        """Queue the plans that an outcome leads to; the lowest priority is tried first."""
        # One call further inside forward counts 1. The cost of an edit says how indirectly the failure asked for it: one
        # that costs 1 more has to come from a trial that got 3 calls further. Each earlier edit adds 1.5, so that short
        # repairs are tried before long ones; behind edits that no failure asked for (`explore`) each adds 4, so that these
        # come late.
        for edit in outcome.edits:
            if edit.measure is None and edit.plan.key() in self.visited:
                continue
            self._push(-outcome.coverage + 3.0 * edit.cost + 1.5 * len(trail), edit, outcome, trail)
        for edit in explore(outcome.plan, self.bench.info.signature.arguments):
            self._push(-outcome.coverage + 3.0 * edit.cost + 4.0 * len(trail), edit, outcome, trail)

    def _push(self, priority: float, edit: Edit, parent: Outcome | None, notes: tuple[str, ...]) -> None:
        self.order += 1
        heapq.heappush(self.heap, (priority, self.order, edit, parent, notes))


_BATCHES = (5, 4, 2)
"""Numbers of samples to try with where another size is the same as theirs."""


def _another_batch(plan: Plan, start: Plan) -> Plan | None:
    """The plan with another number of samples, if an axis that was changed has as many entries as there are samples."""
    batch = plan.size("B")
    changed = [
        dim
        for path, leaf in plan.leaves()
        for dim in leaf.dims
        if dim != "B" and plan.size(dim) == batch
        if not isinstance(first := start.get(path), Leaf) or first.dims != leaf.dims or plan.size(dim) != start.size(dim)
    ]
    if not changed or not any("B" in leaf.dims for _, leaf in plan.leaves()):
        return None
    sizes = {plan.size(dim) for _, leaf in plan.leaves() for dim in leaf.dims}
    return plan.resize(B=next((number for number in _BATCHES if number not in sizes), 6))


def _dear(plan: Plan, parent: Outcome) -> bool:
    """Growing the arguments that much would make a trial that eats the budget."""
    growth = _elements(plan) / max(_elements(parent.plan), 1)
    return parent.flops * growth > DEAR


def _elements(plan: Plan) -> int:
    return sum(math.prod(plan.shape(leaf)) for _, leaf in plan.leaves())


def too_large(plan: Plan) -> bool:
    """A made-up tensor that no machine should be asked for."""
    return any(math.prod(plan.shape(leaf)) > MAX_ELEMENTS for _, leaf in plan.leaves())


def widen(plan: Plan, outcome: Outcome) -> Plan:
    """Ids use the whole range that the embeddings they met allow."""
    for path, rows in outcome.ranges.items():
        leaf = plan.get(path)
        if not isinstance(leaf, Leaf) or leaf.drawn or leaf.kind != "int" or leaf.fill != "normal":
            continue
        if leaf.high is None or (isinstance(leaf.high, int) and leaf.high < rows):
            plan = plan.put(path, replace(leaf, high=rows))
    return plan
