"""Logits where probabilities are taken for logits."""

from __future__ import annotations

from typing import Any

from gradcheck_health.check.remedies.edit import edit
from gradcheck_health.check.remedies.operations import activation_name, softmax_name
from gradcheck_health.check.remedies.patient import Change, Patient, changed
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.records.finding import Finding


def logits(patient: Patient, finding: Finding) -> Change | None:
    """The first of two softmaxes, or the sigmoid before another, left out: the model returns its logits."""
    if finding.rule != "double-softmax":
        return None
    pairs = patient.trace.closest.double_softmaxes or patient.trace.double_softmaxes
    wanted = {(pair.layer, pair.first): pair.source for pair in pairs}

    def editor(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
        key = (layer, softmax_name(func) or activation_name(func, args, kwargs))
        if key not in wanted or not _on(wanted[key]):
            return NotImplemented
        return args[0] if args else kwargs["input"]

    mode = edit(patient.model, editor)
    what = "/".join(dict.fromkeys(pair.first for pair in pairs))
    return changed(f"{what} left out, so that logits are returned", [pair.layer for pair in pairs], mode=mode, direct=True)


def _on(source: str | None) -> bool:
    """Where the layer applies the function on several lines, as attention does: on the one that the finding names."""
    return source is None or user_line() in (source, None)
