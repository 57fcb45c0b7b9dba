"""After the first success: supply targets that yield a loss, and optional tensors as long as more parameters are reached."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gradcheck_health.inputs.observation.reach import trainable
from gradcheck_health.inputs.plan import Const, Node, Plan
from gradcheck_health.inputs.search.search import Search
from gradcheck_health.inputs.search.trial import Outcome, TrialRunner
from gradcheck_health.inputs.static.argument_roles import guess
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.static.signature import Argument

EXTRA = 12
"""Trials that one optional argument may cost."""
WORK = 8e9
"""What the trials for one optional argument may cost, counted as `Outcome.work`."""
SUPPLY = 40
"""Trials that all of them may cost, where something has no gradient without them."""


FLAGS = 4
"""Flags that are tried, at most."""
_ASKS = re.compile(r"(return|output|with|need|get|compute|use)_")
TARGET = 8
"""Trials for one guess of a target."""
_TARGET = re.compile(r"labels?|targets?|y|y_true|gt|ground_truth|lm_labels|class_labels|tgt_labels")


@dataclass(slots=True)
class Reach:
    """The plan that reaches most, and what was left out of it."""

    outcome: Outcome
    trials: int
    supplied: tuple[str, ...]
    left_out: tuple[str, ...]


def maximise(info: ModelInfo, outcome: Outcome, seed: int, trials: int) -> Reach:
    """Optional tensor arguments one by one, kept if they bring parameters that nothing reached before."""
    wanted = trainable(info.model)
    given = {name for name, _ in outcome.plan.arguments}
    optional = [a for a in info.signature.arguments if a.name not in given and _tensor(a)]
    supplied: list[str] = []
    for argument in [a for a in optional if _TARGET.fullmatch(a.name.lower())]:
        fuller, spent = _with_loss(info, outcome, argument, seed, min(EXTRA, trials))
        trials -= spent
        if fuller is not None:
            outcome = fuller
            supplied.append(argument.name)
    optional = [a for a in optional if a.name not in supplied]
    if not wanted - outcome.reached:
        return Reach(outcome, trials, tuple(supplied), tuple(a.name for a in optional))
    for position, argument in enumerate(optional):
        if trials <= 0 or not wanted - outcome.reached:
            break
        search = Search(info, seed, min(EXTRA, trials), _affordable(outcome), WORK)
        found = search.find(outcome.plan.put((argument.name,), guess(argument, info, position)))
        trials -= found.trials
        if (
            found.best.ok
            and not found.best.mixed
            and len(found.best.reached) > len(outcome.reached)
            and _kept(outcome.plan, found.best.plan)
        ):
            outcome = found.best
            supplied.append(argument.name)
    left = tuple(a.name for a in optional if a.name not in supplied)
    flags = tuple(a.name for a in info.signature.arguments if a.name not in given and _flag(a))[:FLAGS]
    reaching = tuple(name for name in flags if wanted - outcome.reached and _reaches(info, outcome, name, seed))
    return Reach(outcome, trials, tuple(supplied), left + reaching)


def _reaches(info: ModelInfo, outcome: Outcome, flag: str, seed: int) -> bool:
    """With the flag set the outputs depend on more parameters. It stays as its author left it: it changes what comes out."""
    tried = TrialRunner(info, seed).run(outcome.plan.put((flag,), Const(True)))
    return tried.ok and tried.reached > outcome.reached


def _with_loss(info: ModelInfo, outcome: Outcome, argument: Argument, seed: int, trials: int) -> tuple[Outcome | None, int]:
    """The outcome with a target, if the model returns its own loss then, and the trials that it took."""
    spent = 0
    for node in _targets(info, outcome.plan, argument):
        search = Search(info, seed, min(TARGET, trials - spent), _affordable(outcome), WORK)
        found = search.find(outcome.plan.put((argument.name,), node))
        spent += found.trials
        best = found.best
        whole = best.ok and not best.mixed and best.reached >= outcome.reached and _unchanged(outcome.plan, best.plan)
        if whole and best.losses > outcome.losses:
            return best, spent
    return None, spent


def _targets(info: ModelInfo, plan: Plan, argument: Argument) -> Iterator[Node]:
    """What is to be foretold: a token for each token, else what the name says."""
    tokens = [leaf for _, leaf in plan.leaves() if leaf.kind == "int" and leaf.dims == ("B", "T") and leaf.fill == "normal"]
    if len(tokens) == 1:
        yield replace(tokens[0], low=0, fixed=False, why="role: targets")
    yield guess(argument, info, 0)


def _unchanged(before: Plan, after: Plan) -> bool:
    """The arguments that ran already are as they were."""
    return all(after.get((name,)) == node for name, node in before.arguments) and after.sizes == before.sizes


def supply(info: ModelInfo, plan: Plan, names: tuple[str, ...], seed: int) -> tuple[Plan, tuple[str, ...]]:
    """The plan with these optional arguments, as many as the model runs with, and the names of the others."""
    trials, left = SUPPLY, []
    for position, argument in enumerate(info.signature.arguments):
        if argument.name not in names:
            continue
        search = Search(info, seed, min(EXTRA, trials), work=WORK)
        value = Const(True) if _flag(argument) else guess(argument, info, position)
        found = search.find(plan.put((argument.name,), value))
        trials -= found.trials
        if found.best.ok and not found.best.mixed and _kept(plan, found.best.plan):
            plan = found.best.plan
        else:
            left.append(argument.name)
    return plan, tuple(left)


_COST = 4e9
"""Multiply-adds times two that a trial may cost for an optional argument, if they grow with the square of the entries."""


def _affordable(before: Outcome) -> Callable[[Plan], bool]:
    """Plans in which the tensors that run already grow no more than attention over them could be paid for."""
    growth = max(4.0, math.sqrt(_COST / max(before.flops, 1.0)))
    most = {path: growth * math.prod(before.plan.shape(leaf)) for path, leaf in before.plan.leaves()}
    return lambda plan: all(math.prod(plan.shape(leaf)) <= most.get(path, math.inf) for path, leaf in plan.leaves())


def _kept(before: Plan, after: Plan) -> bool:
    """Arguments that caused no failure are still there."""
    return {name for name, _ in before.arguments} <= {name for name, _ in after.arguments}


def _flag(argument: Argument) -> bool:
    """`return_attention=False`."""
    return argument.default is False and _ASKS.match(argument.name.lower()) is not None


def _tensor(argument: Argument) -> bool:
    """None where nobody gives it, or an empty list: states of the segment before."""
    hint = argument.annotation
    if isinstance(argument.default, list | tuple) and not argument.default:
        return not hint or "tensor" in hint
    if argument.default is not None and not argument.required:
        return False
    return not hint or "tensor" in hint or "any" in hint or hint in ("none",)
