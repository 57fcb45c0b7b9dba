"""Parts of a model that get no gradient by design: teachers, targets and moving averages of a part that does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from gradcheck_health.records.evidence import Cut
from gradcheck_health.records.finding import LOSS
from gradcheck_health.records.trace import Trace

_NAMED = re.compile(r"(^|[._])(\w*teacher|target|ema|momentum|reference|frozen)($|[._])")
_TURNED_OFF = ("no_grad", "inference_mode", "detach", "detach_", "data")


def teacher(trace: Trace, cuts: Sequence[Cut], names: Sequence[str]) -> tuple[str, str] | None:
    """The subtree that these cut-off parameters make up, and why it is a teacher; None if it is none.

    A teacher runs without gradients as a whole. It is in eval mode while the model trains; or it has the shapes of a part that
    is trained, or a name that says so, and hands no layer that is trained any of its values.
    """
    path = _common(names)
    lost = set(names)
    whole = [p for p in trace.parameters.values() if p.trainable and _below(p.name, path)]
    if not path or any(cut.op not in _TURNED_OFF for cut in cuts) or any(p.name not in lost for p in whole):
        return None
    layers = [layer for layer in trace.closest.layers.values() if layer.calls and _inside(layer.name, path)]
    if trace.training and layers and not any(layer.training for layer in layers):
        return path, "it is in eval mode while the model trains"
    trained = {p.layer for p in trace.parameters.values() if p.gradient is not None and not p.gradient.is_zero}
    if any(cut.layer == LOSS or not trained.isdisjoint(cut.feeds) for cut in cuts):
        return None
    if student := _student(trace, path, names):
        return path, f"it has the shapes of {student}, which is trained, and no layer that is trained takes its values"
    return (path, "its name says so, and no layer that is trained takes its values") if _NAMED.search(path.lower()) else None


def _student(trace: Trace, path: str, names: Sequence[str]) -> str:
    """Another part of the model in which each of these parameters has a counterpart that gets a gradient; "" if none."""
    tails = [name[len(path) :] for name in names]
    known = trace.parameters
    for name in known:
        other = name[: -len(tails[0])] if name.endswith(tails[0]) else ""
        if not other or other == path or _inside(other, path) or _inside(path, other):
            continue
        pairs = [(known[path + tail], known.get(other + tail)) for tail in tails]
        if all(twin and twin.shape == one.shape and twin.gradient and not twin.gradient.is_zero for one, twin in pairs):
            return other
    return ""


def _common(names: Sequence[str]) -> str:
    """The module that holds all of these parameters."""
    owners = [name.split(".")[:-1] for name in names]
    same = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*owners, strict=False))
    return ".".join(parts[0] for parts in same)


def _below(name: str, path: str) -> bool:
    return name.startswith(f"{path}.")


def _inside(layer: str, path: str) -> bool:
    return layer == path or _below(layer, path)
