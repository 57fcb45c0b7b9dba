"""The file of a baseline: one JSON document that people review, sorted, rounded to three digits, without times of day."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradcheck_health.baseline import Baseline
from gradcheck_health.records.codec import decode
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.profile import Level, Profile, Share

SCHEMA = 1
MAX_BYTES = 64 * 2**20
_DIGITS = 3
_PARTS = ("about", "accepted", "flow", "parameters", "shares")
_ABOUT = (
    "environment",
    "fingerprint",
    "fixed",
    "inputs",
    "model",
    "note",
    "objective",
    "rules",
    "schema",
    "seeds",
    "target",
    "weights",
)


def dump(baseline: Baseline) -> str:
    """The text of the file: the same for the same baseline, and a line that changed is a thing that changed."""
    profile = baseline.profile
    about = {
        "environment": dict(baseline.environment),
        "fingerprint": baseline.fingerprint,
        "fixed": profile.fixed,
        "inputs": baseline.inputs,
        "model": baseline.model,
        "note": profile.note,
        "objective": baseline.objective,
        "rules": sorted(baseline.rules),
        "schema": SCHEMA,
        "seeds": list(profile.seeds),
        "target": baseline.target,
        "weights": profile.weights,
    }
    shares = {
        name: {"spread": _rounded(share.spread), "value": _rounded(share.value)} for name, share in profile.shares.items()
    }
    parts = [
        f'"about": {_table(about)}',
        f'"accepted": {_table(baseline.accepted)}',
        f'"flow": {_rows([_level(level) for level in profile.levels])}',
        f'"parameters": {_table(profile.parameters)}',
        f'"shares": {_table(shares)}',
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def load(text: str, path: str) -> Baseline:
    """The baseline in a text.

    Args:
        path: the file, for messages.

    Raises:
        UsageError: it is no whole baseline of this schema; says where, and what to do.
    """
    document = _parsed(text, path)
    try:
        return _baseline(document, path)
    except (ValueError, KeyError, TypeError) as error:
        told = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise _broken(path, told) from None


def is_baseline(text: bytes) -> bool:
    """It begins as the file of a baseline does; whether the rest is one, `load` tells."""
    return text.lstrip().removeprefix(b"{").lstrip().startswith(b'"about"')


def _parsed(text: str, path: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise _broken(path, f"larger than {MAX_BYTES // 2**20} MiB")
    if any(line.startswith(("<<<<<<< ", ">>>>>>> ")) for line in text.splitlines()):
        raise _broken(path, "it holds the marks of a merge conflict")
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        what = "it is cut off or no JSON" if isinstance(error, json.JSONDecodeError) else "it is no JSON for a baseline"
        raise _broken(path, f"{what}: {error}") from None
    about = document.get("about") if isinstance(document, dict) else None
    if not isinstance(about, dict) or "schema" not in about:
        report = isinstance(document, dict) and ("trace" in document or "reports" in document)
        raise _broken(path, "it is a report (`gradhealth diff` reads those)" if report else "it is JSON, but no baseline")
    found = about["schema"]
    if found != SCHEMA or isinstance(found, bool):
        newer = isinstance(found, int) and found > SCHEMA
        hint = "; a newer gradcheck-health wrote it: install that one" if newer else ""
        raise _broken(path, f"schema: got {found!r}, allowed: {SCHEMA}{hint}")
    return dict(document)


def _baseline(document: Mapping[str, Any], path: str) -> Baseline:
    about = document["about"]
    for where, table, known in (("", document, _PARTS), ("about.", about, _ABOUT)):
        if odd := sorted(set(table) ^ set(known)):
            raise ValueError(f"{where}{odd[0]}: {'no such key' if odd[0] in table else 'is missing'}")
    profile = Profile(
        levels=decode(tuple[Level, ...], document["flow"], "flow"),
        parameters=decode(Mapping[str, str], document["parameters"], "parameters"),
        shares=decode(Mapping[str, Share], document["shares"], "shares"),
        seeds=decode(tuple[int, ...], about["seeds"], "about.seeds"),
        weights=decode(str, about["weights"], "about.weights"),
        fixed=decode(bool, about["fixed"], "about.fixed"),
        note=decode(str, about["note"], "about.note"),
    )
    baseline = Baseline(
        target=decode(str, about["target"], "about.target"),
        model=decode(str, about["model"], "about.model"),
        environment=decode(Mapping[str, str], about["environment"], "about.environment"),
        inputs=decode(str, about["inputs"], "about.inputs"),
        objective=decode(str, about["objective"], "about.objective"),
        rules=decode(tuple[str, ...], about["rules"], "about.rules"),
        profile=profile,
        accepted=decode(Mapping[str, str], document["accepted"], "accepted"),
        path=path,
    )
    if problem := next(_problems(baseline), None):
        raise ValueError(problem)
    if about["fingerprint"] != baseline.fingerprint:
        raise ValueError(
            f"about.fingerprint: got {about['fingerprint']!r}, allowed for these layers and parameters: "
            f"{baseline.fingerprint!r}; they were edited by hand, or merged"
        )
    return baseline


def _problems(baseline: Baseline) -> Iterator[str]:
    """What the types allow and a measurement does not."""
    profile = baseline.profile
    names = [level.name for level in profile.levels]
    if len(set(names)) < len(names):
        yield f"flow: {next(name for name in names if names.count(name) > 1)!r} stands there twice"
    if not profile.seeds:
        yield "about.seeds: got none, allowed: at least one"
    for level in profile.levels:
        if level.decades is not None and not math.isfinite(level.decades):
            yield f"flow.{level.name}.decades: got {level.decades}, allowed: a number or null"
        if level.scale is not None and not math.isfinite(level.scale):
            yield f"flow.{level.name}.scale: got {level.scale}, allowed: a number, or no such key"
        for spread in (level.spread, level.gain_spread):
            if spread is not None and not 0 <= spread < math.inf:
                yield f"flow.{level.name}: got the spread {spread}, allowed: a number from 0, or null"
    for name, share in profile.shares.items():
        if not (0 <= share.value <= 1 and 0 <= share.spread < math.inf):
            yield f"shares.{name}: got {share.value} and the spread {share.spread}, allowed: from 0 to 1, and from 0"
    for key, reason in baseline.accepted.items():
        if not key or not reason.strip():
            yield f"accepted.{key}: got {reason!r}, allowed: the reason why it is accepted"


def _broken(path: str, what: str) -> UsageError:
    return UsageError(
        f"baseline {path}: {what}; restore it (git checkout -- {path}), or delete it and write it again with "
        "`gradhealth baseline write`"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return table


def _no_constant(text: str) -> None:
    raise ValueError(f"got {text}, allowed: numbers")


def _level(level: Level) -> dict[str, Any]:
    return {
        "decades": _rounded(level.decades),
        "gain_spread": _rounded(level.gain_spread),
        "kind": level.kind,
        "name": level.name,
        **({} if level.scale is None else {"scale": _rounded(level.scale)}),
        **({"sometimes": True} if level.sometimes else {}),
        **({"closed": True} if level.closed else {}),
        "spread": _rounded(level.spread),
    }


def _rounded(value: float | None) -> float | None:
    """Three significant digits, and none behind the thousandths: noise in the last digits would show in every review."""
    return None if value is None else float(f"{round(value, _DIGITS):.{_DIGITS}g}") + 0.0


def _table(table: Mapping[str, Any]) -> str:
    """A line a key, sorted."""
    rows = [f" {json.dumps(key)}: {json.dumps(table[key], sort_keys=True, allow_nan=False)}" for key in sorted(table)]
    return "{\n" + ",\n".join(rows) + "\n}" if rows else "{}"


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a row."""
    lines = [f" {json.dumps(row, sort_keys=True, allow_nan=False)}" for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"
