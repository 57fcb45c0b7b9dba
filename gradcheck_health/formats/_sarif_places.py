"""The locations of a finding in SARIF: the lines of the source, and the names of layers and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from gradcheck_health.formats._places import Line, from_root, line
from gradcheck_health.formats._text import printable
from gradcheck_health.report import Finding, Place

MAX_RELATED = 20


def locations(finding: Finding, first: Line | None) -> dict[str, Any]:
    """`locations`, one, because viewers show no more, and `relatedLocations` for the other lines.

    Args:
        first: where the finding is shown.
    """
    here: dict[str, Any] = {}
    if first is not None:
        here["physicalLocation"] = physical(first)
    if finding.places:
        here["logicalLocations"] = [_logical(place) for place in finding.places]
    found = {"locations": [here]} if here else {}
    if related := _related(finding.places, first):
        found["relatedLocations"] = related
    return found


def physical(where: Line) -> dict[str, Any]:
    """A line of a file: a relative URI against SRCROOT, an absolute one for a file elsewhere."""
    path = PurePath(from_root(where.path))
    uri = quote(path.as_posix().encode("utf-8", "surrogatepass"))
    artifact = {"uri": f"file://{uri}"} if path.is_absolute() else {"uri": uri, "uriBaseId": "SRCROOT"}
    return {"artifactLocation": artifact, "region": {"startLine": where.number}}


def _logical(place: Place) -> dict[str, str]:
    name = printable(place.name) or "(the model itself)"
    return {"name": name.rpartition(".")[2] or name, "fullyQualifiedName": name, "kind": "member"}


def _related(places: Sequence[Place], first: Line | None) -> list[dict[str, Any]]:
    """Each further line once, with the names that stand there."""
    names: dict[Line, list[str]] = {}
    for place in places:
        if (where := line(place.source)) and where != first:
            names.setdefault(where, []).append(printable(place.name))
    entries = list(names.items())[:MAX_RELATED]
    return [
        {"id": number, "physicalLocation": physical(where), "message": {"text": ", ".join(there[:4])}}
        for number, (where, there) in enumerate(entries, 1)
    ]
