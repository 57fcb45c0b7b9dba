"""Inputs that were inferred earlier and saved: used as long as forward takes what it took then, and they run."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_health.batch import Inputs, Saved
from gradcheck_health.inputs.accounts import accounts
from gradcheck_health.inputs.facts import Facts
from gradcheck_health.inputs.given import pinned
from gradcheck_health.inputs.infer import finished, sized
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.signature import written
from gradcheck_health.inputs.trial import Bench
from gradcheck_health.inputs.wording import said
from gradcheck_health.probe.names import unwrap


def class_path(facts: Facts) -> str:
    """`package.module.Net`, by which saved inputs are found."""
    cls = type(unwrap(facts.model))
    return f"{cls.__module__}.{cls.__qualname__}"


def from_saved(
    facts: Facts, saved: Sequence[Saved], target: str | None, seed: int, batch_size: int | None
) -> tuple[Inputs | None, str]:
    """The inputs saved for this target, else for a model of its class; and why those that are there cannot be used."""
    entries = [entry for entry in saved if entry.target == target] or [
        entry for entry in saved if entry.model == class_path(facts)
    ]
    stale = ""
    for entry in entries:
        now = written(facts.signature)
        if entry.forward != now:
            stale = f"forward took {entry.forward}, now takes {now}"
        else:
            found, stale = _verified(facts, entry, seed, batch_size)
            if found is not None:
                return found, ""
        stale = f"{entry.where}: what is saved for {entry.target} is not used: {stale}"
    return None, stale


def _verified(facts: Facts, entry: Saved, seed: int, batch_size: int | None) -> tuple[Inputs | None, str]:
    plan = pinned(entry.inputs, facts, f"{entry.where}: inputs")
    bench = Bench(facts, seed)
    outcome = bench.run(plan)
    if outcome.error is not None:
        return None, f"it does not run ({said(outcome.error, 80)})"
    whole: Plan = sized(facts, plan, outcome, seed, batch_size, simple=len(plan.arguments) == 1)
    given = {name for name, _ in plan.arguments}
    left_out = tuple(a.name for a in facts.signature.arguments if a.name not in given and a.default is None)
    about = Inputs(
        origin=f"saved in {entry.where}",
        made_up=True,
        left_out=left_out,
        provenance=accounts(whole, plan),
        trials=bench.trials,
    )
    return finished(facts, whole, seed, about), ""
