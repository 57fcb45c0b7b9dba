"""The formats for machines: each is read back by a reader that is not ours, cannot be forged, and is the same to the letter."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from gradcheck_health import formats
from gradcheck_health.formats import concise, github, gitlab, markdown, sarif
from gradcheck_health.formats._text import printable
from gradcheck_health.records.change import Change, Entry, Restructured, Shift, Verdict
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.rules import names as rule_names
from tests.support.hostile import HOSTILE, WHOLE, finding, report, trace, values
from tests.support.readers import read_github, read_gitlab, read_junit, read_markdown, read_sarif, shown

GOLDEN = Path(__file__).with_name("golden")
ROOT = Path(__file__).parents[2]
READERS: dict[str, Callable[[str], Any]] = {
    "sarif": read_sarif,
    "junit": read_junit,
    "gitlab": read_gitlab,
    "github": read_github,
    "markdown": read_markdown,
}
FLOW = finding(
    rule="weak-flow",
    places=(Place("encoder.3.act", "Sigmoid", "nets/model.py:41"), Place("encoder.5.act", "Sigmoid", "nets/model.py:43")),
    details=(("starts", "encoder.3.act (Sigmoid), nets/model.py:41"), ("because", "sigmoid keeps at most 0.25 of a gradient")),
    got=3.1e-12,
    bound=8e-5,
)
LOST = finding(
    rule="lost-gradient",
    message="2 of 42 trainable parameters have no gradient (0 allowed)",
    places=(Place("aux.weight", "Linear", "nets/model.py:23", "never called"), Place("aux.bias", "Linear", "nets/model.py:23")),
    details=(("help", "use the layer in forward(), or freeze it"),),
    got=2.0,
    bound=0.0,
)
OFF = finding(rule="idle-unit", severity=Severity.WARNING, message="60 % of 7 layers are off", places=(Place("fc1", "ReLU"),))
NOTED = finding(rule="slow-flow", severity=Severity.NOTE, message="worth knowing", got=float("nan"))
KNOWN = dataclasses.replace(LOST, suppressed="frozen on purpose", places=(Place("teacher.w", "Linear", "/opt/lib/t.py:7"),))
CHANGE = Change(
    "main.json",
    shifts=(
        Shift("flow", "encoder.3", "Sigmoid", -1.0, -3.2, 0.5, Verdict.WORSE, True),
        Shift("dead_fraction", "fc1", "ReLU", None, 0.6, 0.05, Verdict.WORSE),
    ),
    new=(Entry("weak-flow", "encoder.3.act", "the gradient shrinks"),),
    gone=(Entry("lost-gradient", "old.*", "frozen"),),
    structure=(Restructured("parameter", "reshaped", "head.weight", "[10, 4]", "[10, 8]"),),
    notes=("another torch",),
)
RULES = ("weak-flow", "lost-gradient", "idle-unit", "slow-flow", "quiet-rule")
RUN = (
    report(FLOW, LOST, OFF, NOTED, rules=RULES, target="nets/model.py:Net", change=CHANGE, environment={"torch": "2.13.0"}),
    report(model="Sound", target="nets/sound.py:Sound", rules=RULES),
    report(KNOWN, model="Student", target="pkg.nets:build", rules=RULES, unmatched=("idle-unit:x",)),
)
FAILURES = (Failure("nets/broken.py", "importing it raised ValueError: \x1b[31m\n  nets/broken.py:3 in <module>", 3),)


def written(name: str, *reports: Report, failures: tuple[Failure, ...] = (), code: int = 1) -> str:
    return formats.render_run(formats.find(name), reports, failures, code)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own: paths are told from its root."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    return tmp_path


# ---- every format


def test_every_format_is_read_by_somebody_else_and_documented() -> None:
    elsewhere = {"terminal", "concise", "json", "html"}  # text for people, our own format with a schema, pages in a browser
    assert {*formats.names()} == {*READERS} | elsewhere
    table = (ROOT / "docs" / "formats.md").read_text()
    assert [name for name in formats.names() if f"| `{name}` |" not in table] == []


@pytest.mark.parametrize("name", [*READERS, "concise"])
def test_run_to_the_letter(name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pytest --overwrite tests/formats/test_documents.py` writes the golden files anew: look at what changed."""
    monkeypatch.setattr(sarif, "__version__", "1.2.3")
    golden = GOLDEN / f"run{formats.find(name).SUFFIX}"
    text = written(name, *RUN, failures=FAILURES, code=3)
    if request.config.getoption("--overwrite"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("attack", HOSTILE, ids=ascii)
def test_hostile_name_leaves_every_document_readable(name: str, attack: str) -> None:
    place = Place(attack, attack, f"{attack}:3", attack)
    found = Finding(attack, Severity.ERROR, attack, (place, place), ((attack, attack), ("because", attack)))
    seen = trace(model=attack, inputs=type(trace().inputs)(attack, attack, True, None))
    made = report(
        found,
        found,
        finding(rule=attack, suppressed=attack),
        model=attack,
        target=attack,
        trace=seen,
        unmatched=(attack,),
        environment={attack: attack},
    )
    READERS[name](written(name, made, report(), failures=(Failure(attack, f"{attack}\n{attack}", 3),)))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@settings(WHOLE, max_examples=30)
@given(values(Report))
def test_every_report_gives_a_document_that_is_read(name: str, made: Report) -> None:
    READERS[name](written(name, made, made))
    assert concise.render(made).isascii()


@pytest.mark.parametrize("name", READERS)
def test_nothing_checked_is_a_document_too(name: str) -> None:
    READERS[name](written(name, code=2))
    READERS[name](written(name, failures=FAILURES, code=3))


def swap(old: str, new: str) -> Callable[[str], str]:
    def spoil(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return spoil


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("sarif", swap('"ruleId"', '"ruleID"')),
        ("sarif", swap('"level": "error"', '"level": "fatal"')),
        ("sarif", swap('"version": "2.1.0"', '"verzion": "2.1.0"')),
        ("sarif", swap('"ruleIndex": 1', '"ruleIndex": 0')),
        ("sarif", swap('"uri": "nets/model.py"', '"uri": "nets model.py"')),
        ("sarif", swap('"startLine": 41', '"startLine": "41"')),
        ("sarif", swap('"kind": "external"', '"kind": "word of mouth"')),
        ("sarif", swap('"name": "gradcheck_health"', '"title": "gradcheck_health"')),
        ("sarif", lambda text: re.sub(r'"message": \{\s*"text"', '"message": {"string"', text, count=1)),
        ("junit", swap("</testsuite>", "")),
        ("junit", swap('failures="2" errors', 'failures="1" errors')),
        ("junit", swap("frozen on purpose", "frozen \x1b")),
        ("junit", swap("<testsuites", "<html")),
        ("gitlab", swap('"severity": "critical"', '"severity": "error"')),
        ("gitlab", swap('"fingerprint"', '"finger_print"')),
        ("gitlab", swap('"path": "', '"path": "./')),
        ("gitlab", swap('"begin": 41', '"begin": 0')),
        ("gitlab", lambda text: json.dumps([*json.loads(text), json.loads(text)[0]])),
        ("github", swap("::error file", "::set-output file")),
        ("github", swap("%0A", "\n")),
        ("github", swap("title=", "titel=")),
        ("markdown", swap("fc1", "<b>fc1</b>")),
        ("markdown", swap("pkg.nets:build", "pkg | nets:build | x")),
        ("markdown", swap("fc1", "[fc1](https://example.org)")),
    ],
)  # fmt: skip
def test_known_bad_document_is_refused(name: str, spoil: Callable[[str], str]) -> None:
    good = written(name, *RUN, failures=FAILURES, code=3)
    READERS[name](good)
    with pytest.raises(ValueError):  # noqa: PT011 - each reader has its own words
        READERS[name](spoil(good))


# ---- SARIF


def results(*reports: Report) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_sarif(written("sarif", *reports))["runs"][0]["results"]
    return found


def test_sarif_shows_the_line_and_the_names() -> None:
    flow = results(*RUN)[0]
    (location,) = flow["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "nets/model.py", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 41},
    }
    assert [entry["fullyQualifiedName"] for entry in location["logicalLocations"]] == ["encoder.3.act", "encoder.5.act"]
    assert [entry["physicalLocation"]["region"]["startLine"] for entry in flow["relatedLocations"]] == [43]
    assert (flow["properties"]["got"], flow["properties"]["allowed"]) == (3.1e-12, 8e-5)


def test_sarif_finding_without_a_line_stands_at_the_top_of_the_file() -> None:
    (off,) = results(report(OFF, target="nets/model.py:Net"))
    assert off["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    (off,) = results(report(OFF, target="pkg.nets:build"))
    assert "physicalLocation" not in off["locations"][0]


def test_sarif_accepted_finding_carries_its_reason() -> None:
    (known,) = results(RUN[2])
    assert known["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "frozen on purpose"}]
    assert known["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///opt/lib/t.py"}


def test_sarif_says_what_is_new_against_the_baseline() -> None:
    states = [(entry["ruleId"], entry["baselineState"]) for entry in results(RUN[0])]
    assert states == [
        ("weak-flow", "new"),
        ("lost-gradient", "unchanged"),
        ("idle-unit", "unchanged"),
        ("slow-flow", "unchanged"),
        ("lost-gradient", "absent"),
    ]
    assert "baselineState" not in results(RUN[2])[0]


def test_sarif_has_every_rule_that_ran_with_its_description() -> None:
    made = report(finding(), rules=rule_names())
    rules = read_sarif(sarif.render(made))["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(rule_names())
    for rule in rules:
        assert rule["help"]["markdown"].startswith(rule["shortDescription"]["text"].split()[0])
        assert "**How to fix:**" in rule["help"]["markdown"]


@pytest.mark.parametrize("name", ["sarif", "gitlab"])
def test_fingerprint_knows_names_and_no_values(name: str) -> None:
    def prints(*findings: Finding) -> list[str]:
        text = written(name, report(*findings))
        key = r'"(?:gradhealthNames/v1|fingerprint)": "(\w+)"'
        return re.findall(key, text)

    moved = dataclasses.replace(
        LOST,
        message="3 of 50 parameters",
        got=3.0,
        places=tuple(dataclasses.replace(p, source="other.py:99") for p in LOST.places),
    )
    assert prints(LOST) == prints(moved)
    assert prints(LOST) != prints(dataclasses.replace(LOST, places=(Place("head.weight"),)))
    assert len(set(prints(LOST, LOST))) == 2
    assert prints(FLOW, LOST) == prints(LOST, FLOW)[::-1]


def test_paths_are_reported_from_the_root_of_the_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    made = report(finding(places=(Place("a", source="net.py:3"),)), target="net.py")
    assert results(made)[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "sub/net.py"
    assert read_gitlab(gitlab.render(made))[0]["location"]["path"] == "sub/net.py"
    assert read_github(github.render(made))[0][1]["file"] == "sub/net.py"
    inside = report(finding(places=(Place("a", source=f"{folder}/net.py:3"),)))
    assert read_github(github.render(inside))[0][1]["file"] == "net.py"


# ---- JUnit


def test_junit_shows_passes_failures_accepted_findings_and_what_was_not_checked() -> None:
    sick, sound, student, broken = read_junit(written("junit", *RUN, failures=FAILURES))
    assert [(case.name, [type(one).__name__ for one in case.result]) for case in sick] == [
        ("weak-flow", ["Failure"]),
        ("lost-gradient", ["Failure"]),
        ("idle-unit", []),
        ("slow-flow", []),
        ("quiet-rule", []),
    ]
    assert all(case.is_passed for case in sound)
    assert [case.name for case in student if case.is_skipped] == ["lost-gradient"]
    assert [case.is_error for case in broken] == [True]
    assert (sick.tests, sick.failures, sick.errors) == (5, 2, 0)
    assert {entry.name: entry.value for entry in sick.properties()}["torch"] == "2.13.0"


# ---- GitHub


def test_github_annotation_says_where_and_everything_else() -> None:
    first, second, third = read_github(written("github", RUN[0]))
    assert first[:2] == ("error", {"file": "nets/model.py", "line": "41", "title": "weak-flow in nets/model.py:Net"})
    assert "because: sigmoid keeps at most 0.25" in first[2]
    assert third[0] == "warning"
    assert third[2].startswith("60 % of 7 layers are off\n")


def test_github_shows_ten_worst_first_and_counts_the_rest() -> None:
    warnings = [finding(severity=Severity.WARNING, rule=f"w{i}") for i in range(9)]
    errors = [finding(rule=f"e{i}", places=(Place("x", source=f"m.py:{i + 1}"),)) for i in range(3)]
    found = read_github(written("github", report(*warnings), report(*errors)))
    assert len(found) == 10
    assert [entry[0] for entry in found[:4]] == ["error", "error", "error", "warning"]
    assert found[-1][2] == "and 3 more findings: see the summary of this job"


def test_github_groups_models_with_the_same_finding_on_the_same_line() -> None:
    made = [report(LOST, target=f"nets/model.py:Net{i}") for i in range(30)]
    (one,) = read_github(written("github", *made))
    assert one[1]["title"] == "lost-gradient in nets/model.py:Net0 and 29 more"


# ---- Markdown


@pytest.mark.parametrize("attack", [attack for attack in HOSTILE if attack.strip()], ids=ascii)
def test_markdown_shows_a_name_as_it_is(attack: str) -> None:
    text = shown(read_markdown(markdown.render(report(finding(message=f"in {attack} here")))))
    assert f"in {printable(attack)} here" in text


def test_markdown_is_cut_at_a_line() -> None:
    document = markdown.render(report(*[finding(rule=f"rule-{i}", message="m" * 50 + "\u00e9") for i in range(200)]))
    assert markdown.cut(document, 1_000_000) == document
    short = markdown.cut(document, 3000)
    assert 2500 < len(short.encode()) <= 3000
    found = re.fullmatch(r"(.*)\n\n\.\.\. (\d+) more lines are left out here\.\n", short, re.DOTALL)
    assert found is not None
    kept, left = found.groups()
    assert document.startswith(kept + "\n")
    assert 0 <= len(document.splitlines()) - int(left) - len(kept.splitlines()) <= 1, "an empty line at the cut may go"


# ---- concise


def test_concise_lines_are_those_of_a_compiler() -> None:
    lines = written("concise", *RUN, failures=FAILURES).splitlines()
    assert lines[0].startswith("nets/model.py:41: error: weak-flow: the gradient shrinks 3.1e-12 x")
    assert lines[-1] == "3 models checked: 2 healthy, 1 unhealthy, 1 not checked"
    assert "nets/broken.py: not checked: importing it raised ValueError: \\x1b[31m" in lines


def test_line_in_an_installed_package_is_not_given_to_a_forge() -> None:
    """The user's file is: a forge can show no other, and nobody could change it."""
    inside = "/usr/lib/python3/site-packages/timm/models/resnet.py:41"
    one = report(finding(details=(), places=(Place("conv1", source=inside),)))
    assert read_github(written("github", one))[0][1]["file"] == "model.py"
    assert "site-packages" not in json.dumps(json.loads(written("sarif", one))["runs"][0]["results"][0]["locations"])
    assert json.loads(written("gitlab", one))[0]["location"]["path"] == "model.py"
    both = report(finding(details=(), places=(Place("conv1", source=inside), Place("x", source="model.py:7"))))
    assert read_github(written("github", both))[0][1]["line"] == "7"


def test_words_of_others_are_no_links_in_sarif() -> None:
    hostile = "[click](https://evil.example) float32[32, 4] [a[b](c)"
    text = json.loads(written("sarif", report(finding(message=hostile))))["runs"][0]["results"][0]["message"]["text"]
    assert "\\[click](https" in text
    assert "float32[32, 4]" in text
    assert "[a\\[b](c)" in text
