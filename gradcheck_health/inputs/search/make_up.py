"""Make up inputs when nothing is given: guess, search, reach as much as possible, choose the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gradcheck_health.inputs.language.values import materialise
from gradcheck_health.inputs.plan import Leaf, Plan
from gradcheck_health.inputs.search.batch_size import batch_for, batched, longer, usual
from gradcheck_health.inputs.search.distinct import told_apart
from gradcheck_health.inputs.search.error import inference_error
from gradcheck_health.inputs.search.graphs import as_graph
from gradcheck_health.inputs.search.optional_arguments import maximise, supply
from gradcheck_health.inputs.search.origins import accounts
from gradcheck_health.inputs.search.search import TRIALS, Search, widen
from gradcheck_health.inputs.search.smaller import lessened
from gradcheck_health.inputs.search.trial import Outcome, TrialRunner
from gradcheck_health.inputs.static.argument_roles import first_plan
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.records.inputs import Inputs


def infer(info: ModelInfo, seed: int, batch_size: int | None, start: Plan | None = None, trials: int = TRIALS) -> Inputs:
    """Inputs that were seen to run.

    Args:
        start: where the search begins, instead of the first guess by roles.
        trials: how many trials it may take.

    Raises:
        InputInferenceError: no trial of the budget ran.
    """
    first = start if start is not None else first_plan(info)
    found = Search(info, seed, trials).find(first)
    if not found.best.ok:
        raise inference_error(info, found)
    found = as_graph(info, found, seed)
    found.best = lessened(info, found.best, seed)
    reach = maximise(info, found.best, seed, TRIALS - found.trials)
    reach.outcome = shown(info, numbers(info, reach.outcome, seed), seed)
    plan = widen(reach.outcome.plan, reach.outcome)
    simple = found.trials == 1 and not reach.supplied and len(plan.arguments) == 1 and not reach.outcome.branched
    plan, short = stretched(info, plan, reach.outcome, seed), plan
    if plan is not short:  # longer without need: no size was solved for
        first = first.resize(T=plan.size("T"))
    plan = apart(info, plan, reach.outcome, seed)
    plan = sized(info, plan, reach.outcome, seed, batch_size, simple)
    about = Inputs(
        origin=origin(plan) + ("" if batch_size is not None else reduced(info, plan, reach.outcome)),
        made_up=True,
        left_out=reach.left_out,
        fuller=fuller_of(info, widen(reach.outcome.plan, reach.outcome), plan, reach.left_out, seed),
        provenance=accounts(plan, first, found.notes),
        trials=TRIALS - reach.trials,
    )
    return finished(info, plan, seed, about)


def fuller_of(
    info: ModelInfo, small: Plan, whole: Plan, left_out: tuple[str, ...], seed: int
) -> Callable[[], Inputs | None] | None:
    """How the same inputs are completed with the optional arguments that they leave out.

    Args:
        small: the plan as it is tried.
        whole: the plan with the batch of the probe.
    """
    if not left_out:
        return None

    def fuller() -> Inputs | None:
        plan, left = supply(info, small, left_out, seed)
        if len(left) == len(left_out):
            return None
        about = Inputs(origin="made up, optional arguments supplied", made_up=True, left_out=left)
        return finished(info, plan.resize(B=whole.size("B")), seed, about)

    return fuller


def numbers(info: ModelInfo, outcome: Outcome, seed: int) -> Outcome:
    """The outcome with masks of ones and zeros, where the model multiplies and adds those of true and false."""
    plan = outcome.plan
    for path in outcome.counted:
        leaf = plan.get(path)
        if isinstance(leaf, Leaf) and leaf.kind == "bool" and leaf.why.startswith("role:"):
            plan = plan.put(path, replace(leaf, kind="float", fill="mask" if leaf.fill == "normal" else leaf.fill))
    if plan is outcome.plan:
        return outcome
    tried = TrialRunner(info, seed).run(plan)
    return tried if _as_good(tried, outcome) else outcome


def shown(info: ModelInfo, outcome: Outcome, seed: int) -> Outcome:
    """The outcome with masks of the opposite convention, where what they mark hides all of the output."""
    plan = outcome.plan
    for path, leaf in plan.leaves() if outcome.blank else ():
        if not leaf.fixed and (leaf.fill in ("mask", "padding") or (leaf.kind == "bool" and leaf.fill == "normal")):
            plan = plan.put(path, replace(leaf, fill="mask" if leaf.fill == "padding" else "padding"))
    if plan is outcome.plan:
        return outcome
    tried = TrialRunner(info, seed).run(plan)
    return tried if _as_good(tried, outcome) and not tried.blank else outcome


def stretched(info: ModelInfo, plan: Plan, outcome: Outcome, seed: int) -> Plan:
    """The plan with a longer sequence, if the model runs on it as well."""
    more = longer(info.model, plan, outcome, batch_for(info.model, plan, outcome)) if batched(plan) else None
    if more is None:
        return plan
    tried = TrialRunner(info, seed).run(more)
    return more if _as_good(tried, outcome) else plan


def apart(info: ModelInfo, plan: Plan, outcome: Outcome, seed: int) -> Plan:
    """The plan with lengths that are no other size by chance, if the model runs on it as well."""
    for other in told_apart(info.model, plan):
        tried = TrialRunner(info, seed).run(other)
        if _as_good(tried, outcome):
            return other
    return plan


def sized(info: ModelInfo, plan: Plan, outcome: Outcome, seed: int, batch_size: int | None, simple: bool) -> Plan:
    """The plan with the probe's batch, verified unless the first guess was right for a single argument, whatever its values."""
    if not batched(plan):
        return plan
    wanted = batch_size if batch_size is not None else batch_for(info.model, plan, outcome)
    sizes = [wanted] if simple else [wanted, 8, 2]
    for size in sizes:
        larger = plan.resize(B=size)
        if simple or size <= wanted and _runs(info, larger, seed):
            return larger
    return outcome.plan


def _as_good(tried: Outcome, outcome: Outcome) -> bool:
    """It ran as cleanly, and the outputs depend on no fewer parameters."""
    return tried.ok and not tried.mixed and tried.reached >= outcome.reached


def _runs(info: ModelInfo, plan: Plan, seed: int) -> bool:
    return TrialRunner(info, seed).run(plan).ok


def origin(plan: Plan) -> str:
    """`made up from conv1 (Conv2d)`."""
    sources = list(dict.fromkeys(leaf.why for _, leaf in plan.leaves() if leaf.why and not leaf.why.startswith("role:")))
    return f"made up from {', '.join(sources[:2])}" if sources else "made up"


def reduced(info: ModelInfo, plan: Plan, outcome: Outcome) -> str:
    """The note on a batch that is smaller than usual because a sample is costly; "" otherwise."""
    samples, wanted = plan.size("B"), usual(info.model)
    if not batched(plan) or samples >= wanted or samples > batch_for(info.model, plan, outcome):
        return ""
    return f", {samples} samples instead of {wanted} because one is costly"


def finished(info: ModelInfo, plan: Plan, seed: int, about: Inputs) -> Inputs:
    """The plan's values as `Inputs` that can draw further batches; their description is that of `about`."""
    values = materialise(plan, seed, info.device, info.dtype)
    args, kwargs = info.signature.call(values)
    # sizes that the user wrote out: the first axis is the batch
    first = next((leaf for _, leaf in plan.leaves() if leaf.dims and leaf.fixed), None)
    batch = plan.size("B") if batched(plan) else plan.size(first.dims[0]) if first is not None else None

    def resample(other: int) -> Inputs:
        return finished(info, plan, other, about)

    return replace(about, args=args, kwargs=kwargs, batch=batch, resample=resample)
