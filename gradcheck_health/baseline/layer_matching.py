"""Which layer of one model is which of another: by name, and where names moved, by class and shapes in forward order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from gradcheck_health.records.change import Restructured
from gradcheck_health.records.profile import Profile

FROZEN = ", frozen"
Signature = tuple[str, tuple[tuple[str, str], ...]]
"""Class, and the shape of each parameter of its own."""


@dataclass(frozen=True, slots=True)
class LayerMatching:
    """The pairs, and what is different about the models as such."""

    levels: Mapping[str, str]
    """New name -> old name, for every layer or parameter that both profiles hold."""
    structure: tuple[Restructured, ...]


def match_layers(before: Profile, now: Profile) -> LayerMatching:
    """Pair what stands in both profiles.

    A name with the same class and shapes on both sides is the same layer. Of what is left, equal ones in forward order are
    renamed (in a `Sequential` every name behind an insertion moves); then what shares its name was replaced or reshaped.
    """
    old, new = _signatures(before), _signatures(now)
    pairs = {name: name for name in new if old.get(name) == new[name]}
    pairs |= _moved([name for name in old if name not in pairs], [name for name in new if name not in pairs], old, new)
    taken = set(pairs.values())
    pairs |= {name: name for name in new if name not in pairs and name in old and name not in taken}
    found = [*_layers(pairs, old, new), *_parameters(before.parameters, now.parameters, pairs)]
    rows = {level.name for level in before.levels} - set(old)  # parameters that stand for themselves
    levels = pairs | {level.name: level.name for level in now.levels if level.name in rows}
    renamed = {entry.name: entry.before for entry in found if entry.what == "parameter" and entry.how == "renamed"}
    levels |= {name: origin for name, origin in renamed.items() if origin in rows}
    return LayerMatching(levels, tuple(found))


def _signatures(profile: Profile) -> dict[str, Signature]:
    """Of every layer, in forward order; parameters that stand for themselves are left out."""
    owned: dict[str, list[tuple[str, str]]] = {}
    for name, shape in profile.parameters.items():
        owner, _, leaf = name.rpartition(".")
        owned.setdefault(owner, []).append((leaf, shape.removesuffix(FROZEN)))
    return {
        level.name: (level.kind, tuple(sorted(owned.get(level.name, ()))))
        for level in profile.levels
        if level.name not in profile.parameters
    }


def _moved(
    removed: Sequence[str], added: Sequence[str], old: Mapping[str, Signature], new: Mapping[str, Signature]
) -> dict[str, str]:
    """New name -> old name of what has equal signatures in the same order.

    Without parameters an equal class alone is too little: the last name or the parent has to be the same, too.
    """
    matcher = SequenceMatcher(None, [old[name] for name in removed], [new[name] for name in added], autojunk=False)
    pairs: dict[str, str] = {}
    for start, other, size in matcher.get_matching_blocks():
        for origin, name in zip(removed[start : start + size], added[other : other + size], strict=True):
            parts, origin_parts = name.rpartition("."), origin.rpartition(".")
            if new[name][1] or parts[2] == origin_parts[2] or parts[0] == origin_parts[0]:
                pairs[name] = origin
    return pairs


def _layers(pairs: Mapping[str, str], old: Mapping[str, Signature], new: Mapping[str, Signature]) -> list[Restructured]:
    kept = set(pairs.values())
    found = [Restructured("layer", "removed", name, before=old[name][0]) for name in old if name not in kept]
    for name, signature in new.items():
        origin = pairs.get(name)
        if origin is None:
            found.append(Restructured("layer", "added", name, now=signature[0]))
        elif old[origin][0] != signature[0]:
            found.append(Restructured("layer", "replaced", name, old[origin][0], signature[0]))
        elif origin != name:
            found.append(Restructured("layer", "renamed", name, origin, signature[0]))
    return found


def _parameters(before: Mapping[str, str], now: Mapping[str, str], layers: Mapping[str, str]) -> list[Restructured]:
    found: list[Restructured] = []
    left = dict(before)
    added = []
    for name in sorted(now, key=_natural):
        owner, dot, leaf = name.rpartition(".")
        origin = f"{layers.get(owner, owner)}{dot}{leaf}"
        if origin not in left:
            added.append(name)
            continue
        found += _reshaped(name, origin, left.pop(origin), now[name])
    for exact in (True, False):
        for name in list(added):
            twins = (other for other in sorted(left, key=_natural) if left[other] == now[name])
            origin = next((o for o in twins if not exact or o.rpartition(".")[2] == name.rpartition(".")[2]), "")
            if origin:
                left.pop(origin)
                added.remove(name)
                found.append(Restructured("parameter", "renamed", name, origin, now[name]))
    found += [Restructured("parameter", "removed", name, before=left[name]) for name in sorted(left, key=_natural)]
    found += [Restructured("parameter", "added", name, now=now[name]) for name in added]
    return found


def _reshaped(name: str, origin: str, before: str, now: str) -> list[Restructured]:
    if before.removesuffix(FROZEN) != now.removesuffix(FROZEN):
        return [Restructured("parameter", "reshaped", name, before, now)]
    if before != now:
        return [Restructured("parameter", "frozen" if now.endswith(FROZEN) else "unfrozen", name, before, now)]
    return [] if name == origin else [Restructured("parameter", "renamed", name, origin, now)]


def _natural(name: str) -> list[tuple[int, str]]:
    """blocks.2 before blocks.10."""
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in re.split(r"(\d+)", name)]
