"""Run every tool on every model of the zoo, each pair in its turn and under a time limit; one JSON line a pair.

    pip install --no-deps -r benchmarks/comparison/requirements.txt
    python -m benchmarks.comparison results.jsonl [TOOL ...]

A run that was stopped goes on where it was: pairs that are in the file are not run again. Each tool runs in a process of its own,
so that what one of them leaves behind in torch cannot touch the next.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparison.tools import MEANS, TOOLS, Alarm
from tests.zoo.entry import Sick, Sound
from tests.zoo.sick import SICK, SICK_INSIDE
from tests.zoo.sound import SOUND
from tests.zoo.third_party import THIRD_PARTY

LIMIT = 60
"""Seconds for one model under one tool."""


def main(path: Path, names: list[str]) -> None:
    """Every pair that is not yet in the file."""
    if len(names) == 1:
        run_tool(names[0], path, {(line["tool"], line["group"], line["model"]) for line in read(path)})
        return
    for name in names or TOOLS:  # a fresh interpreter, not a child of multiprocessing: torchlens refuses to run in one
        subprocess.run([sys.executable, "-m", "benchmarks.comparison", str(path), name], check=True)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_tool(name: str, path: Path, done: set[tuple[str, str, str]]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _late)
    for group, entries in (("sick", (*SICK, *SICK_INSIDE)), ("sound", SOUND), ("sound of others", THIRD_PARTY)):
        for entry in entries:
            if (name, group, entry.name) not in done:
                line = {"tool": name, "group": group, "model": entry.name, **judged(name, entry)}
                with path.open("a") as file:
                    file.write(json.dumps(line) + "\n")


def judged(name: str, entry: Sick | Sound) -> dict[str, Any]:
    """What the tool says of the model, and how right it is."""
    start = time.process_time()
    model, inputs = entry.build()
    alarms: list[Alarm] = []
    failed = ""
    signal.alarm(LIMIT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            alarms += TOOLS[name](model, inputs, entry.settings)
    except Exception as error:  # noqa: BLE001 - other people's tools on other people's models
        failed = f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
    result: dict[str, Any] = {
        "alarms": [[alarm.label, alarm.error] for alarm in alarms],
        "failed": failed,
        "seconds": round(time.process_time() - start, 3),
    }
    if isinstance(entry, Sick):
        right = [alarm for alarm in alarms if {entry.rule, *entry.synonyms, *entry.also} & meant(alarm)]
        result |= {
            "rule": entry.rule,
            "data": entry.data,
            "named": bool(right),
            "placed": any(placed(entry, alarm) for alarm in right),
        }
    return result


def meant(alarm: Alarm) -> frozenset[str]:
    tool, _, label = alarm.label.partition(":")
    return frozenset({label}) if tool == "gradcheck_health" else MEANS.get(alarm.label, frozenset())


def placed(entry: Sick, alarm: Alarm) -> bool:
    """The text names one of the places, as a word of its own or as the beginning of a parameter's name."""
    return not entry.at or any(_named(place, alarm.text) for place in entry.at)


def _named(place: str, text: str) -> bool:
    if not place:  # the model itself: a text that names no layer at all is as right as it can be
        return True
    position = text.find(place)
    while position >= 0:
        before, after = text[position - 1 : position], text[position + len(place) : position + len(place) + 1]
        if not (before.isalnum() or before in ("_", ".")) and not (after.isalnum() or after == "_"):
            return True
        position = text.find(place, position + 1)
    return False


def _late(*_: Any) -> Iterator[None]:
    raise TimeoutError(f"more than {LIMIT} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
