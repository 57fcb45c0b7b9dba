"""The text of `InputInferenceError`: how far the search got, where it failed, what is likely, what to give."""

from __future__ import annotations

from gradcheck_health.inputs.language.notation import write
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.search.search import Found
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.records.errors import OWN, InputInferenceError, Remedy, one_line


def inference_error(info: ModelInfo, found: Found) -> InputInferenceError:
    """One error for a search that ended without success."""
    names = ", ".join(argument.name for argument in info.signature.arguments) or "*args"
    best = found.best
    reason = one_line(best.error) if best.error is not None else "no trial ran"
    calls = "call" if best.coverage == 1 else "calls"
    lines = [
        f"could not make up inputs for {type(info.owner).__name__}.forward({names})",
        f"  closest of {found.trials} tries ({best.coverage} {calls} inside forward succeeded): {best.plan.describe()}",
        f"  failed at {best.place or 'the call'}: {reason}",
    ]
    likely = tuple(dict.fromkeys(edit.note for edit in best.edits if edit.note))
    if found.hopeless:
        lines.append(
            "  the same on every input that got there: the fault may be in the model, at that line, and not in its inputs"
        )
    elif likely:
        lines.append(f"  other inputs are probably needed for: {'; '.join(likely[:2])}")
    else:
        lines.append("  nothing shows which inputs it needs there: look at that line first, the fault may be in the model")
    # never the shapes that just failed: tensors of the user's own
    own = dict.fromkeys((argument.name for argument in info.signature.arguments if argument.required), OWN) or {"x": OWN}
    ways = "\n      (or a method gradhealth_inputs(self) of the model, or `inputs` in gradhealth.yaml)"
    error = InputInferenceError("\n".join(lines), remedy=Remedy("if it runs on a batch of yours, give that", own, ways))
    error.likely = likely
    error.__cause__ = best.error
    return error


def written(plan: Plan) -> dict[str, str]:
    """Argument -> text, for those that have words."""
    return {name: text for name, node in plan.arguments if (text := write(plan, node)) is not None}
