"""One function for each reader: bytes in, and nothing but our own errors out. A file in `failures/` is a past fault."""

from __future__ import annotations

import copy
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from gradcheck_health import rules
from gradcheck_health.baseline import bounds
from gradcheck_health.baseline.document import load as load_baseline
from gradcheck_health.cli.commands.report import read as read_report
from gradcheck_health.cli.workers import stack_dump
from gradcheck_health.inputs.language.notation import parse_node
from gradcheck_health.records.errors import UsageError
from gradcheck_health.rules import presets
from gradcheck_health.settings import strict_yaml
from gradcheck_health.settings.config_files import from_file
from gradcheck_health.settings.from_options import sources
from gradcheck_health.settings.overrides import matches
from gradcheck_health.settings.resolution import resolve
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.target import Target

SECONDS = 1.0
"""Of processor time, for one input."""
FOLDER = Path(__file__).parent
_TEMPORARY = tempfile.TemporaryDirectory(prefix="gradhealth-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


@cache
def known() -> dict[str, Callable[..., Any]]:
    """Every rule, so that names and options are looked at, too."""
    return {**presets.every(), **rules.builtin()}


def yaml(data: bytes) -> None:
    """Settings in YAML, read and resolved."""
    try:
        document = strict_yaml.read(data.decode("utf-8", "surrogateescape"))
    except strict_yaml.YamlError:
        return
    if isinstance(document.value, dict):
        settle(Source("gradhealth.yaml", document.value, document.lines))


def toml(data: bytes) -> None:
    """Settings in TOML, from a file."""
    settle(from_file(written(data, "pyproject.toml")))


def table(data: bytes) -> None:
    """Settings as JSON has them: the shapes of values, without a syntax in the way."""
    given = parsed(data)
    if isinstance(given, dict):
        settle(Source("fuzz", given))


def baseline(data: bytes) -> None:
    """A baseline."""
    load_baseline(data.decode("utf-8", "replace"), "baseline.json")


def report(data: bytes) -> None:
    """A report, as JSON or inside of a page."""
    read_report([written(data, "report.json")])


def edited_report(data: bytes) -> None:
    """A report in which values are others: what bytes alone seldom reach behind the syntax."""
    sample = json.loads((FOLDER / "corpus" / "report" / "run").read_text())
    read_report([written(json.dumps(edited(sample, data)).encode(), "report.json")])


def edited_baseline(data: bytes) -> None:
    """A baseline in which values are others."""
    sample = json.loads((FOLDER / "corpus" / "baseline" / "sample").read_text())
    load_baseline(json.dumps(edited(sample, data)), "baseline.json")


def spec(data: bytes) -> None:
    """Inputs in the little language."""
    parse_node(data.decode("utf-8", "surrogateescape"), "--input", {})


def options(data: bytes) -> None:
    """A line for each option of the command line."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    names = ("settings", "ignore", "args", "select", "fail_if", "inputs")
    for source in sources({name: [line] for name, line in zip(names, lines, strict=False)}):
        settle(source)


def target(data: bytes) -> None:
    """What a person typed for a model, and the pattern of an override that it is held against."""
    text, _, pattern = data.decode("utf-8", "surrogateescape").partition("\n")
    str(Target.parse(text))
    if "\0" not in pattern:
        matches(pattern, text, Source("gradhealth.yaml", {}))


def expression(data: bytes) -> None:
    """A bound on what may get worse."""
    bounds.parse(data.decode("utf-8", "surrogateescape"))


def stack(data: bytes) -> None:
    """What a process wrote when it died."""
    stack_dump.read(data.decode("utf-8", "replace"), 1)


READERS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        *(yaml, toml, table, baseline, edited_baseline, report, edited_report),
        *(spec, options, target, expression, stack),
    )
}


def feed(name: str, data: bytes) -> None:
    """One input to one reader.

    Raises:
        AssertionError: it took more than a second, twice.
        Exception: whatever else than our own error came out.
    """
    took = _seconds(name, data)
    if took >= SECONDS:  # what a collection of garbage, or a busy machine, adds comes once
        took = _seconds(name, data)
    assert took < SECONDS, f"{name} took {took:.1f} s"


def _seconds(name: str, data: bytes) -> float:
    started = time.process_time()
    try:
        READERS[name](data)
    except UsageError as error:
        assert str(error).strip()  # noqa: PT017 - success is right, too
    return time.process_time() - started


def settle(source: Source) -> None:
    resolve([source], known_rules=known())


def written(data: bytes, name: str) -> Path:
    path = Path(_TEMPORARY.name) / name
    path.write_bytes(data)
    return path


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 10**400, -(2**63), 0.5, 1e308, float("inf"), float("nan")),
    *("", "nan", "inf", "x" * 300, "\ud800", "\0", "error", [], [[]], [None], {}, {"": 0}, {"x": {}}),
)


def edited(document: Any, data: bytes) -> Any:
    """Values of a JSON document replaced by odd ones, taken out or moved, as pairs of bytes say: which one, and what by."""
    for which, what in zip(data[::2], data[1::2], strict=False):
        places = list(nodes(document))
        if not 0 < len(places) < 2000:  # what is moved into itself doubles
            break
        holder, key = places[which % len(places)]
        if what < len(ODD):
            holder[key] = copy.deepcopy(ODD[what])
        elif what < 128:
            del holder[key]
        else:
            other, name = places[what % len(places)]
            if name in (other if isinstance(other, dict) else range(len(other))):
                holder[key] = json.loads(json.dumps(other[name]))
    return document


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or index) of a JSON document."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from nodes(value[key])


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
