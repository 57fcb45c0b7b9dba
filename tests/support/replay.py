"""Stored traces judged again: what a rule asks for step by step, what it finds, and what it finds under another bound.

`python -m tests.support.replay mlp dead-unit.sick` stores these models of the zoo, and examples of rules; then
`pytest --overwrite tests/rules/test_replay.py` writes their verdicts down. It needs no torch, and the verdict is the same
everywhere.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradcheck_health import Finding, Need, Trace, rules

TRACES = Path(__file__).parents[1] / "rules" / "golden" / "traces.json.gz"
VERDICTS = TRACES.with_name("verdicts.txt")
Options = Mapping[str, Any]
FACTORS = (0.5, 1.0, 2.0)
"""Where else a bound is put: below, exactly at and above the number that was found."""


def stored() -> dict[str, tuple[Trace, Mapping[str, Options]]]:
    """name -> (trace, options of rules)."""
    entries = json.loads(gzip.decompress(TRACES.read_bytes()))
    return {name: (Trace.from_dict(entry["trace"]), entry["options"]) for name, entry in entries.items()}


def written() -> str:
    """The verdicts on all that is stored."""
    return "\n".join(section(name, *entry) for name, entry in stored().items())


def section(name: str, trace: Trace, options: Mapping[str, Options]) -> str:
    """The verdict on one model."""
    return "\n".join([f"== {name}", *judged(trace, options), ""])


def sections() -> dict[str, str]:
    """name -> the verdict that is written down."""
    found = {}
    for part in VERDICTS.read_text(encoding="utf-8").split("\n== "):
        text = f"== {part.removeprefix('== ').rstrip()}\n"
        found[text.split("\n", 1)[0][3:]] = text
    return found


def judged(trace: Trace, chosen: Mapping[str, Options], names: Sequence[str] = ()) -> Iterator[str]:
    """What the rules say, line by line; one that asks for nothing and finds nothing has no line."""
    for name in names or rules.names():
        rule, options = rules.builtin()[name], chosen.get(name, {})
        steps, found = _replayed(rule, trace, options)
        if steps or found:
            yield f"{name}: asks for {', then '.join(steps) or 'nothing'}"
        for finding in found:
            yield f"  {_headline(finding)}"
            yield from (f"    {line}" for line in _body(finding))
        for key, bound in _elsewhere(rule, found):
            steps, again = _replayed(rule, trace, {**options, key: bound})
            yield f"  {key}={bound:.6g} asks for {', then '.join(steps) or 'nothing'}"
            yield from (f"    {_headline(finding)}" for finding in again)


def _replayed(rule: Callable[..., Any], trace: Trace, options: Options) -> tuple[list[str], list[Finding]]:
    """The facts that it asks for, one request after the other, and what it finds when it has them."""
    held: dict[str, tuple[Trace, ...]] = {}
    steps: list[str] = []
    while True:
        answers = list(rule(dataclasses.replace(trace, facts=held), **options))
        found = [answer for answer in answers if isinstance(answer, Finding)]
        wanted = [answer for answer in answers if isinstance(answer, Need)]
        fresh = [need.fact for need in wanted if _more(trace, need.fact, held) != held.get(need.fact)]
        if wanted:
            steps.append(" + ".join(f"{need.fact}{' (more)' if need.more else ''}" for need in wanted))
        if not fresh:
            return steps, found
        held = {**held, **{fact: _more(trace, fact, held) for fact in fresh}}


def _more(trace: Trace, fact: str, held: Mapping[str, tuple[Trace, ...]]) -> tuple[Trace, ...]:
    """What is known of a fact after one more request: seeds come one by one."""
    whole: tuple[Trace, ...] = trace.facts.get(fact, held.get(fact, ()))
    return whole[: len(held.get(fact, ())) + 1] if fact == "reseeded" else whole


def _elsewhere(rule: Callable[..., Any], found: Sequence[Finding]) -> Iterator[tuple[str, float]]:
    numbers = list(dict.fromkeys(finding.got for finding in found if finding.got))[:2]
    for key in rules.options(rule):
        if key.startswith(("max", "min")):
            yield from ((key, number * factor) for number in numbers for factor in FACTORS)


def _headline(finding: Finding) -> str:
    numbers = [f"{number:.6g}" if number is not None else "none" for number in (finding.got, finding.bound)]
    return f"{finding.severity}: {finding.message} [{' beside '.join(numbers)}]"


def _body(finding: Finding) -> Iterator[str]:
    yield from map(str, finding.places)
    yield from (f"{what}: {text}" for what, text in finding.details)
    if finding.effect_of:
        yield f"effect of {', '.join(finding.effect_of)}"


def store(names: Sequence[str]) -> None:
    """Check these models, and put their traces beside those that are stored; all of those anew where none is named."""
    entries = json.loads(gzip.decompress(TRACES.read_bytes())) if TRACES.exists() else {}
    for name in names or list(entries):
        entries[name] = _checked(name)
    text = json.dumps(dict(sorted(entries.items())), separators=(",", ":"))
    TRACES.write_bytes(gzip.compress(text.encode(), mtime=0))


def _checked(name: str) -> dict[str, Any]:
    import torch

    from gradcheck_health import check_gradients
    from tests.rules.test_every_rule import check_example, module_of
    from tests.zoo.sick import SICK
    from tests.zoo.sound import SOUND

    torch.manual_seed(0)
    rule, _, which = name.rpartition(".")
    if rule in rules.names():
        options = {rule: getattr(module_of(rule), "healthy_options", {})}
        trace = check_example(rule, which).trace
    else:
        (entry,) = (entry for entry in (*SICK, *SOUND) if entry.name == name)
        model, inputs = entry.build()
        options = entry.settings.get("rules", {})
        trace = check_gradients(model, inputs, seed=0, **entry.settings).trace
    text = trace.to_json()
    for folder in (f"{Path(__file__).parents[2]}/", f"{sysconfig.get_path('purelib')}/"):
        text = text.replace(folder, "")  # sources are somewhere else on every machine
    return {"options": options, "trace": json.loads(text)}


if __name__ == "__main__":
    store(sys.argv[1:])
