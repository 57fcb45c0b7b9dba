"""Baselines: the file goes there and back, broken ones are told, killed and competing writers lose nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradcheck_health
from gradcheck_health.baseline import Baseline, entries, of, pruned
from gradcheck_health.baseline.document import dump, load
from gradcheck_health.baseline.files import path_for, read, refuse_in_ci, required, update
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Place, Severity
from gradcheck_health.records.profile import Level, Profile, Share
from tests.support import hostile

ON_DEMAND = os.environ.get("GRADHEALTH_STRESS", "") not in ("", "0")
"""Set it for the large counts: 1000 kills, 16 writers x 100 updates."""

LEVELS = (Level("stem", "Linear", -0.5, 0.1, 0.05), Level("head", "Linear", 0.0, 0.0, 0.0))
PROFILE = Profile(LEVELS, {"stem.weight": "float32[8, 4]"}, {"dead_fraction": Share(0.1, 0.01)}, (0, 1, 2), "abc", True)
ENVIRONMENT = {"torch": "2.13.0", "device": "cpu", "dtype": "float32", "gradcheck-health": "0.1.0", "mode": "training"}
SAMPLE = Baseline("net.py:Net", "Net", ENVIRONMENT, "float32[2, 4]", "random projection", ("dead-unit",), PROFILE)

NUMBERS = st.none() | st.floats(-300, 300)
SPREADS = st.none() | st.floats(0, 10)
NAMES = st.text(max_size=8) | st.sampled_from(hostile.HOSTILE)
ROWS = st.builds(Level, NAMES, NAMES, NUMBERS, SPREADS, SPREADS, st.booleans())
PROFILES = st.builds(
    Profile,
    st.lists(ROWS, max_size=4, unique_by=lambda level: level.name).map(tuple),
    st.dictionaries(NAMES, NAMES, max_size=3),
    st.dictionaries(NAMES, st.builds(Share, st.floats(0, 1), st.floats(0, 1)), max_size=3),
    st.lists(st.integers(0, 99), min_size=1, max_size=3).map(tuple),
    NAMES,
    st.booleans(),
    NAMES,
)
BASELINES = st.builds(
    Baseline,
    NAMES,
    NAMES,
    st.dictionaries(NAMES, NAMES, max_size=3),
    NAMES,
    NAMES,
    st.lists(NAMES, max_size=3).map(lambda names: tuple(sorted(names))),
    PROFILES,
    st.dictionaries(NAMES.filter(bool), NAMES.filter(str.strip), max_size=3),
)


# ---- the file


@pytest.mark.slow
@hostile.WHOLE
@given(BASELINES)
def test_what_was_written_is_read(baseline: Baseline) -> None:
    once = load(dump(baseline), "b.json")
    assert load(dump(once), "b.json") == once
    assert dump(once) == dump(baseline)
    assert dataclasses.replace(once, path="", profile=baseline.profile) == baseline
    for now, before in zip(once.profile.levels, baseline.profile.levels, strict=True):
        assert (now.name, now.kind, now.sometimes) == (before.name, before.kind, before.sometimes)
        if before.decades is None or now.decades is None:
            assert now.decades is before.decades
        else:
            assert now.decades == pytest.approx(before.decades, rel=0.005, abs=0.0005)


def test_file_is_made_for_review() -> None:
    noted = dataclasses.replace(SAMPLE, accepted={"b": "later", "a": "first"})
    text = dump(noted)
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert list(document["about"]) == sorted(document["about"])
    assert text.index('"a": "first"') < text.index('"b": "later"')
    assert '{"decades": -0.5, "gain_spread": 0.05, "kind": "Linear", "name": "stem", "spread": 0.1}' in text
    assert text == dump(load(text, "x.json"))
    more = dataclasses.replace(PROFILE, levels=(*LEVELS, Level("new", "ReLU", -0.123456789, 0.1, 0.1)))
    added = [line for line in dump(dataclasses.replace(noted, profile=more)).splitlines() if line not in text.splitlines()]
    assert any('"decades": -0.123,' in line for line in added)
    # the row, the row before it (a comma) and the fingerprint: nothing else moves
    assert len(added) == 3


def broken(edit: Callable[[dict[str, Any]], Any]) -> str:
    document = json.loads(dump(SAMPLE))
    edit(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is cut off or no JSON"),
        (dump(SAMPLE)[:200], "it is cut off or no JSON"),
        ("<<<<<<< HEAD\n" + dump(SAMPLE), "marks of a merge conflict"),
        ("[1, 2]", "it is JSON, but no baseline"),
        ('{"a": 1}', "it is JSON, but no baseline"),
        ('{"trace": {}, "model": "Net"}', "it is a report (`gradhealth diff` reads those)"),
        ('{"about": {"schema": 1}, "about": {}}', "'about' stands there twice"),
        ("[" * 100_000, "no JSON"),
        (broken(lambda d: d["about"].update(schema=2)), "schema: got 2, allowed: 1; a newer gradcheck-health wrote it"),
        (broken(lambda d: d["about"].update(schema="1")), "schema: got '1', allowed: 1"),
        (broken(lambda d: d.pop("flow")), "flow: is missing"),
        (broken(lambda d: d.update(flows=[])), "flows: no such key"),
        (broken(lambda d: d["about"].pop("seeds")), "about.seeds: is missing"),
        (broken(lambda d: d["about"].update(seeds=[])), "about.seeds: got none"),
        (broken(lambda d: d["flow"][0].update(decades="low")), "flow[0].decades: expected float, got 'low'"),
        (broken(lambda d: d["flow"][0].update(decades="inf")), "flow.stem.decades: got inf"),
        (broken(lambda d: d["flow"][0].update(spread=-1)), "flow.stem: got the spread -1"),
        (broken(lambda d: d["flow"][0].update(height=1)), "flow[0]: unknown field 'height'"),
        (broken(lambda d: d["flow"][0].update(name="root")), "they were edited by hand, or merged"),
        (broken(lambda d: d["flow"].append(d["flow"][0])), "'stem' stands there twice"),
        (broken(lambda d: d["parameters"].update(extra="float32[1]")), "they were edited by hand, or merged"),
        (broken(lambda d: d["accepted"].update({"dead-unit": " "})), "allowed: the reason why it is accepted"),
        (broken(lambda d: d["shares"]["dead_fraction"].update(value=7)), "shares.dead_fraction: got 7"),
        (dump(SAMPLE).replace("-0.5", "NaN"), "got NaN, allowed: numbers"),
        (dump(SAMPLE).replace("-0.5", "1" + "0" * 400), "does not fit a float"),
    ],
)
def test_broken_file_is_one_error_with_its_remedy(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        read(path)
    assert words in str(raised.value)
    assert str(raised.value).startswith(f"baseline {path}: ")
    assert f"git checkout -- {path}" in str(raised.value)


@pytest.mark.slow
@hostile.WHOLE
@given(st.integers(0, 2000), st.binary(max_size=3))
def test_any_damage_is_an_error_or_a_baseline(position: int, junk: bytes) -> None:
    raw = dump(SAMPLE).encode()
    text = (raw[:position] + junk + raw[position + 1 :]).decode("utf-8", "replace")
    try:
        load(text, "b.json")
    except UsageError:
        return


def test_missing_baseline_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"write it with `gradhealth baseline write net\.py:Net`, and commit it"):
        required(tmp_path / "b.json", "net.py:Net")
    with pytest.raises(UsageError, match=r"write it with `pytest 'test_x\.py::test_a\[1\]' --gradhealth-update-new-only`"):
        required(tmp_path / "b.json", "test_x.py::test_a[1] #2")


@pytest.mark.parametrize("target", [*hostile.HOSTILE, "a/b.py:Net", "a-b.py:Net", "x" * 5000])
def test_every_target_has_a_file_of_its_own_inside_the_folder(tmp_path: Path, target: str) -> None:
    path = path_for(tmp_path, target)
    assert path.parent == tmp_path
    assert len(path.name) < 120
    assert path != path_for(tmp_path, f"{target}2")
    update(path, lambda _: dataclasses.replace(SAMPLE, target=target), environ={})
    assert read(path).target == target


# ---- what is accepted


def test_entries_are_logical_names() -> None:
    places = (Place("a[0].weight", "Linear", "net.py:3"), Place("b", "Linear"))
    finding = hostile.finding(rule="dead-unit", places=places)
    assert [entry.key for entry in entries([finding])] == ["dead-unit:a[[]0].weight", "dead-unit:b"]
    assert [entry.key for entry in entries([hostile.finding(rule="dead-unit", places=(Place(""),))])] == ["dead-unit"]
    assert entries([hostile.finding(severity=Severity.NOTE)]) == ()
    many = tuple(Place(f"encoder.{i}") for i in range(40))
    assert [entry.key for entry in entries([hostile.finding(places=many)])] == ["vanishing-gradient:encoder.*"]


def test_update_keeps_reasons_and_drops_what_is_gone() -> None:
    before = dataclasses.replace(SAMPLE, accepted={"dead-unit:a": "by design", "dead-unit:old": "frozen"})
    kept = hostile.finding(rule="dead-unit", places=(Place("a"),), suppressed="by design")
    fresh = hostile.finding(rule="missing-gradient", places=(Place("b"),))
    report = hostile.report(kept, fresh, unmatched=("dead-unit:old",))
    assert of(report, "for now", before).accepted == {"dead-unit:a": "by design", "missing-gradient:b": "for now"}
    assert pruned(before, report).accepted == {"dead-unit:a": "by design"}


# ---- writing


@pytest.mark.parametrize(("value", "refused"), [("true", True), ("1", True), ("", False), ("false", False), ("0", False)])
def test_nothing_is_written_in_ci(tmp_path: Path, value: str, refused: bool) -> None:
    path = tmp_path / "b.json"
    if not refused:
        refuse_in_ci({"CI": value})
        return
    with pytest.raises(UsageError, match="CI is set"):
        update(path, lambda _: SAMPLE, environ={"CI": value})
    assert not path.exists()


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.json"
    update(path, lambda _: SAMPLE, environ={})
    old = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device; the file is as it was"):
        update(path, lambda _: dataclasses.replace(SAMPLE, model="Other"), environ={})
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.json"]


WRITER = """
import dataclasses, sys
from pathlib import Path
from gradcheck_health.baseline.files import update
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for i in range(count):
    key = f"dead-unit:{name}.{i}"
    update(path, lambda old: dataclasses.replace(old, accepted={**old.accepted, key: "x" * 200}), environ={})
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(gradcheck_health.__file__).parents[1])}
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_competing_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    update(path, lambda _: SAMPLE, environ={})
    writers, updates = (16, 100) if ON_DEMAND else (4, 10)
    running = [writer(path, f"w{k}", updates) for k in range(writers)]
    for process in running:
        process.communicate(timeout=600)
    assert [process.returncode for process in running] == [0] * writers
    assert set(read(path).accepted) == {f"dead-unit:w{k}.{i}" for k in range(writers) for i in range(updates)}


KILLER = """
import dataclasses, itertools, os, random, signal, sys, time
from pathlib import Path
from gradcheck_health.baseline.files import read, update
path, count = Path(sys.argv[1]), int(sys.argv[2])
rng, grown = random.Random(0), set()
update(path, lambda old: old, environ={})  # imports are done before the first fork
for i in range(count):
    child = os.fork()
    if child == 0:
        for k in itertools.count():
            key = f"dead-unit:{i % 7}.{k % 300}"
            update(path, lambda old: dataclasses.replace(old, accepted={**old.accepted, key: "x" * 200}), environ={})
    time.sleep(rng.uniform(0.0, 0.06))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    grown |= set(read(path).accepted)
print(len(grown))
"""


@pytest.mark.slow
def test_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    """Each writer is killed at a random moment; the file is read after each."""
    path = tmp_path / "b.json"
    update(path, lambda _: SAMPLE, environ={})
    environment = {**os.environ, "PYTHONPATH": str(Path(gradcheck_health.__file__).parents[1])}
    command = [sys.executable, "-c", KILLER, str(path), "1000" if ON_DEMAND else "30"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0  # the writers were at work when they were killed
    update(path, lambda old: dataclasses.replace(SAMPLE, model="Last"), environ={})
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.json"]
