"""Turn results of `measure` into the tables of docs/inputs.md, between their markers.

python -m benchmarks.inputs.table docs/inputs.md results.jsonl verdicts.jsonl ...
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.inputs.without import SWITCHES

Result = dict[str, Any]
UNJUDGED = ("not built", "known input fails", "too large to measure", "nothing to train")
COUNTED = ("ran", "too slow", "failed", "does not run", "killed")


def tables(results: list[Result]) -> dict[str, str]:
    """Markdown by the name of the part of the page that it fills."""
    made = [r for r in results if r["task"] == "inputs" and not r.get("given")]
    whole = [r for r in made if r["without"] is None]
    return {
        "inputs": _inputs(whole),
        "given": _given([r for r in results if r["task"] == "inputs" and r.get("given")]),
        "misses": _misses(whole),
        "ablations": _ablations(made),
        "verdicts": _verdicts([r for r in results if r["task"] == "verdict"]),
        "repeats": _repeats([r for r in results if r["task"] == "repeat"]),
    }


def _inputs(results: list[Result]) -> str:
    head = ("collection", "models", "ran", "first guess right", "CPU s median", "p95", "reached", "as the known input")
    lines = [_line(head), _line(["---"] * len(head))]
    for name, group in _groups(results).items():
        lines.append(_line(_row(name, [r for r in group if r["outcome"] in COUNTED])))
    counted = [r for r in results if r["outcome"] in COUNTED]
    lines.append(_line(_row("**all**", counted)))
    return "\n".join([*lines, "", f"Not counted: {'; '.join(_left_out(name, g) for name, g in _groups(results).items())}."])


def _given(results: list[Result]) -> str:
    """Over the models whose known-good input is known, where its shapes were handed over."""
    counted = [r for r in results if r["outcome"] in COUNTED and (r.get("known") or r["outcome"] == "killed")]
    ran = [r for r in counted if r["outcome"] == "ran"]
    parts = ", ".join(f"{_running(g)} of {len(g)} of {name}" for name, g in _groups(counted).items())
    failed = ", ".join(f"{r['collection']}: {r['name']}" for r in counted if r not in ran)
    return f"Ran: {_share(len(ran), len(counted))}: {parts}." + (f" Not: {failed}." if failed else "") if counted else ""


def _row(name: str, group: list[Result]) -> list[str]:
    ran = [r for r in group if r["outcome"] == "ran"]
    known = [r for r in ran if "agrees" in r]
    cpu = sorted(r["cpu"] for r in group if "cpu" in r)
    return [
        name,
        str(len(group)),
        _share(len(ran), len(group)),
        _share(sum(r["trials"] <= 2 for r in ran), len(ran)),
        f"{statistics.median(cpu):.2f}" if cpu else "-",
        f"{cpu[min(len(cpu) - 1, int(0.95 * len(cpu)))]:.1f}" if cpu else "-",
        f"{statistics.fmean(r['reached'] for r in ran):.1%}" if ran else "-",
        _share(sum(r["agrees"] for r in known), len(known)) if known else "-",
    ]


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "0"


def _left_out(name: str, group: list[Result]) -> str:
    reasons = Counter(r["outcome"] for r in group if r["outcome"] not in COUNTED)
    return f"{name}: " + (", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none")


def _misses(results: list[Result]) -> str:
    lines = [_line(("model", "what", "why")), _line(["---"] * 3)]
    for r in results:
        what = _miss(r)
        if what:
            lines.append(_line((f"{r['collection']}: {r['name']}", *what)))
    return "\n".join(lines) if len(lines) > 2 else "None."


def _miss(r: Result) -> tuple[str, str] | None:
    if r["outcome"] not in COUNTED:
        return None
    if r["outcome"] == "too slow":
        return "too slow", f"{r['cpu']:.0f} CPU s, {r['trials']} trials"
    if r["outcome"] != "ran":
        return r["outcome"], _why(str(r.get("error", "")))
    if r.get("agrees") is False:
        return "other ranks or kinds", f"made up: {r['inputs'][:110]}; known: {_known(r.get('known', {}))}"
    if r["reached"] < 0.98:
        return f"reaches {r['reached']:.0%}", "not reached: " + ", ".join(r["unreached"][:3])
    return None


def _known(arguments: dict[str, list[Any]]) -> str:
    parts = [f"{name}={'+'.join(f'{kind}{rank}d' for rank, kind in tensors)}" for name, tensors in arguments.items()]
    return ", ".join(parts)[:110]


def _why(text: str) -> str:
    place = next((line.strip() for line in text.splitlines() if line.strip().startswith("failed at")), None)
    return (place or (text.splitlines() or [""])[0])[:150]


def _ablations(results: list[Result]) -> str:
    """Over the models that were measured without every one of the ideas: all together, then by collection."""
    by_switch = {
        switch: {(r["collection"], r["name"]): r for r in results if r["without"] == switch} for switch in (None, *SWITCHES)
    }
    taken = [switch for switch, found in by_switch.items() if switch is None or found]
    keys = set.intersection(*(set(by_switch[switch]) for switch in taken))
    keys = {key for key in keys if by_switch[None][key]["outcome"] in COUNTED}
    head = ("without", "what is gone", "ran", "reached", "as the known input", "trials", "CPU s")
    lines = [f"{len(keys)} models.", "", _line(head), _line(["---"] * len(head))]
    # a model that does not run agrees with nothing
    compared = {key for key in keys if "agrees" in by_switch[None][key]}
    for switch in taken:
        group = [by_switch[switch][key] for key in sorted(keys)]
        known = [by_switch[switch][key] for key in compared]
        lines.append(
            _line((
                switch or "(nothing)",
                SWITCHES[switch][0] if switch else "",
                _share(_running(group), len(group)),
                # a model that does not run reaches nothing
                f"{sum(r.get('reached', 0.0) for r in group) / max(len(group), 1):.1%}",
                _share(sum(r.get("agrees", False) for r in known), len(known)),
                str(sum(r.get("trials", 0) for r in group)),
                f"{sum(r.get('cpu', 0.0) for r in group):.0f}",
            ))
        )  # fmt: skip
    return "\n".join([*lines, "", *_ablations_apart(by_switch, taken, keys)])


def _ablations_apart(by_switch: dict[str | None, dict[Any, Result]], taken: list[str | None], keys: set[Any]) -> list[str]:
    """How many of each collection ran, and of how many ranks and kinds were those of the known input."""
    collections = sorted({collection for collection, _ in keys})
    head = ("ran / as the known input, without", *collections)
    lines = [_line(head), _line(["---"] * len(head))]
    for switch in taken:
        cells = []
        for collection in collections:
            group = [by_switch[switch][key] for key in keys if key[0] == collection]
            known = [by_switch[switch][key] for key in keys if key[0] == collection and "agrees" in by_switch[None][key]]
            agreeing = sum(r.get("agrees", False) for r in known)
            cells.append(f"{_running(group)} of {len(group)} / {agreeing} of {len(known)}")
        lines.append(_line((switch or "(nothing)", *cells)))
    return lines


def _running(group: list[Result]) -> int:
    return sum(r["outcome"] == "ran" for r in group)


def _verdicts(results: list[Result]) -> str:
    head = ("collection", "models", "no finding", "notes only", "warnings", "errors", "no verdict", "left as it was")
    lines = [_line(head), _line(["---"] * len(head))]
    for name, group in _groups(results).items():
        group = [r for r in group if r["outcome"] not in UNJUDGED]
        worst = Counter(_worst(r) for r in group)
        same = [r["left_as_it_was"] for r in group if "left_as_it_was" in r]
        counts = [str(worst[kind]) for kind in ("none", "note", "warning", "error", "no verdict")]
        lines.append(_line((name, str(len(group)), *counts, f"{sum(same)} of {len(same)}")))
    found = [_line(("model", "rule", "message")), _line(["---"] * 3)]
    for r in results:
        for f in r.get("findings", ()):
            if f["severity"] != "note":
                found.append(_line((f"{r['collection']}: {r['name']}", f"{f['rule']} ({f['severity']})", f["message"][:160])))
        if _worst(r) == "no verdict" and r["outcome"] not in UNJUDGED:
            found.append(_line((f"{r['collection']}: {r['name']}", r["outcome"], _why(r["error"]))))
    return "\n".join([*lines, "", *found])


def _repeats(results: list[Result]) -> str:
    """How many models gave one answer in all their repetitions."""
    done = [r for r in results if r["outcome"] == "repeated"]
    if not done:
        return ""
    same = sum(r["answers"] == 1 for r in done)
    load = statistics.median(r["load"] for r in done)
    return (
        f"Inputs and verdict were the same in {done[0]['times']} of {done[0]['times']} checks of freshly built models for "
        f"{same} of {len(done)} models, on a machine with a load of {load:.0f} for two cores."
    )


def _worst(r: Result) -> str:
    if r["outcome"] != "judged":
        return "no verdict"
    severities = {f["severity"] for f in r["findings"]}
    return next((kind for kind in ("error", "warning", "note") if kind in severities), "none")


def _groups(results: Iterable[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result["collection"], []).append(result)
    return groups


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def fill(page: str, parts: dict[str, str]) -> str:
    """The page with what stands between `<!-- measured: NAME -->` and `<!-- end of NAME -->` replaced."""
    for name, text in parts.items():
        begin, end = f"<!-- measured: {name} -->", f"<!-- end of {name} -->"
        if begin in page:
            before, rest = page.split(begin)
            page = f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"
    return page


def main() -> None:
    """Fill the page that is named first with the results of the files that are named after it."""
    page, *sources = map(Path, sys.argv[1:])
    results = [json.loads(text) for source in sources for text in source.read_text().splitlines()]
    page.write_text(fill(page.read_text(), tables(results)))


if __name__ == "__main__":
    main()
