"""Inputs that were inferred earlier and saved: used as long as forward takes what it took then, and they run."""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_health.inputs.given.read import pinned
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.search.make_up import finished, sized
from gradcheck_health.inputs.search.origins import accounts
from gradcheck_health.inputs.search.trial import TrialRunner
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.static.signature import written
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.records.errors import one_line
from gradcheck_health.records.inputs import Inputs, Saved


def class_path(info: ModelInfo) -> str:
    """`package.module.Net`, by which saved inputs are found."""
    cls = type(unwrap(info.model))
    return f"{cls.__module__}.{cls.__qualname__}"


def from_saved(
    info: ModelInfo, saved: Sequence[Saved], target: str | None, seed: int, batch_size: int | None
) -> tuple[Inputs | None, str]:
    """The inputs saved for this target, else for a model of its class; and why those that are there cannot be used."""
    entries = [entry for entry in saved if entry.target == target] or [
        entry for entry in saved if entry.model == class_path(info)
    ]
    stale = ""
    for entry in entries:
        now = written(info.signature)
        if entry.forward != now:
            stale = f"forward took {entry.forward}, now takes {now}"
        else:
            found, stale = _verified(info, entry, seed, batch_size)
            if found is not None:
                return found, ""
        stale = f"{entry.where}: what is saved for {entry.target} is not used: {stale}"
    return None, stale


def _verified(info: ModelInfo, entry: Saved, seed: int, batch_size: int | None) -> tuple[Inputs | None, str]:
    plan = pinned(entry.inputs, info, f"{entry.where}: inputs")
    bench = TrialRunner(info, seed)
    outcome = bench.run(plan)
    if outcome.error is not None:
        return None, f"it does not run ({one_line(outcome.error, 80)})"
    whole: Plan = sized(info, plan, outcome, seed, batch_size, simple=len(plan.arguments) == 1)
    given = {name for name, _ in plan.arguments}
    left_out = tuple(a.name for a in info.signature.arguments if a.name not in given and a.default is None)
    about = Inputs(
        origin=f"saved in {entry.where}",
        made_up=True,
        left_out=left_out,
        provenance=accounts(whole, plan),
        trials=bench.trials,
    )
    return finished(info, whole, seed, about), ""
