"""Settings files as tests, the summary at the end of a run, subtests by rule, and what JUnit hears, in real pytest runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.pytest_plugin.test_plugin import Run, run
from tests.support.readers import read_sarif

__all__ = ["run"]

NETS = """
from torch import nn

class Sound(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

class Sick(nn.Linear):
    def __init__(self):
        super().__init__(6, 2)
        self.unused = nn.Linear(2, 2)
"""
YAML = """
models:
  - nets.py:Sound
  - nets.py:Sick
"""


@pytest.fixture
def nets(pytester: pytest.Pytester) -> Path:
    folder = pytester.mkdir("zoo")
    (folder / "nets.py").write_text(NETS)
    (folder / "gradhealth.yaml").write_text(YAML)
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("nets")
def test_settings_file_is_a_test_file_with_an_item_for_each_model(run: Run) -> None:
    result = run("", "zoo")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*zoo/gradhealth.yaml .F*",
            "missing-gradient in Sick (1 error)",
            "    at         unused.*zoo/nets.py:11",
            "repeat:  pytest zoo/gradhealth.yaml::nets.py:Sick --gradhealth-seed 0",
            "*= gradient health =*",
            "healthy zoo/nets.py:Sound  zoo/gradhealth.yaml::nets.py:Sound",
            "sick    zoo/nets.py:Sick (1 error: missing-gradient)  zoo/gradhealth.yaml::nets.py:Sick",
            "FAILED zoo/gradhealth.yaml::nets.py:Sick - *missing-gradient*",
        ]
    )
    assert "Traceback" not in result.stdout.str()


@pytest.mark.slow
@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        (("zoo/gradhealth.yaml::nets.py:Sick", "--gradhealth-seed", "0"), {"failed": 1}),
        (("zoo", "-k", "Sound"), {"passed": 1, "deselected": 1}),
        (("zoo", "--gradhealth-ignore", "missing-gradient=known"), {"passed": 2}),
        (("zoo", "-W", "error"), {"passed": 1, "failed": 1}),
        (("zoo", "--strict-markers", "--strict-config"), {"passed": 1, "failed": 1}),
    ],
)
def test_items_are_chosen_as_tests_are(run: Run, options: tuple[str, ...], outcome: dict[str, int]) -> None:
    run("", *options).assert_outcomes(**outcome)


@pytest.mark.usefixtures("nets")
def test_items_are_listed_and_nothing_is_imported_for_that(run: Run, nets: Path) -> None:
    (nets / "nets.py").write_text("raise SystemExit('imported')")
    result = run("", "zoo", "--co", "-q")
    result.stdout.fnmatch_lines(["zoo/gradhealth.yaml::nets.py:Sound", "zoo/gradhealth.yaml::nets.py:Sick"])


@pytest.mark.slow
def test_last_failed_runs_the_sick_one_again(run: Run, pytester: pytest.Pytester, nets: Path) -> None:
    cache = ("-p", "cacheprovider", "-o", f"cache_dir={pytester.path}/cache")
    run("", "zoo", *cache).assert_outcomes(passed=1, failed=1)
    run("", "zoo", "--lf", *cache).assert_outcomes(failed=1)


@pytest.mark.slow
def test_other_file_adds_to_the_settings_of_its_folder(run: Run, nets: Path) -> None:
    (nets / "gradhealth.yaml").write_text("ignore:\n  missing-gradient:unused.*: kept for later\n")
    (nets / "more.gradhealth.yaml").write_text("models: [nets.py]\nseed: 4\n")
    result = run("", "zoo", "-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["healthy zoo/nets.py:Sound *", "healthy zoo/nets.py:Sick (1 accepted)  *"])


@pytest.mark.slow
def test_broken_file_is_an_error_with_its_line(run: Run, nets: Path) -> None:
    (nets / "gradhealth.yaml").write_text("models:\n  - nets.py:Sound\nroundz: 3\n")
    result = run("", "zoo")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*zoo/gradhealth.yaml:3: roundz: no such setting (did you mean 'rounds'?)*"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NETS + "raise ValueError('broken on purpose')", "*nets.py: importing it raised ValueError: broken on purpose*"),
        ("class Other: pass", "*nets.py has no 'Sound'*"),
    ],
)
def test_model_that_cannot_be_built_is_reported_without_our_frames(run: Run, nets: Path, text: str, words: str) -> None:
    (nets / "nets.py").write_text(text)
    result = run("", "zoo", "-k", "Sound")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines([words])
    assert "loading.py" not in result.stdout.str()


@pytest.mark.slow
def test_warning_of_an_item_stands_at_its_line(run: Run, nets: Path) -> None:
    (nets / "own.py").write_text(
        "from gradcheck_health import Finding, Place, Severity\n"
        "def always_warned(trace):\n    yield Finding('always-warned', Severity.WARNING, 'it is 3', (Place('0'),))\n"
    )
    (nets / "gradhealth.yaml").write_text("extra-rules: ['own:always_warned']\nmodels:\n  - nets.py:Sound\n")
    result = run("", "zoo")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*zoo/gradhealth.yaml:3: GradientHealthWarning: always-warned: it is 3 at 0, zoo/nets.py:6*"])
    run("", "zoo", "-W", "error").assert_outcomes(failed=1)


TESTS = """
    def test_sound(gradhealth):
        gradhealth(Sound())

    def test_two(gradhealth):
        gradhealth(Sound(), ignore={"missing-gradient": "known"})
        gradhealth(Sick())
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_summary_files_and_junit_are_the_same_under_xdist(
    run: Run, pytester: pytest.Pytester, nets: Path, options: tuple[str, ...]
) -> None:
    files = ("--gradhealth-report", "out.sarif", "--gradhealth-report", "out.json", "--junit-xml", "tests.xml")
    result = run(TESTS, ".", *files, *options, subprocess=bool(options))
    result.assert_outcomes(passed=2, failed=2)
    text = result.stdout.str()
    summary = text[text.index("= gradient health =") :]
    assert sorted(re.findall(r"^(healthy|sick   ) (\S+)", summary, re.MULTILINE)) == [
        ("healthy", "Sound"),
        ("healthy", "Sound"),
        ("healthy", "zoo/nets.py:Sound"),
        ("sick   ", "Sick"),
        ("sick   ", "zoo/nets.py:Sick"),
    ]
    assert "report: out.sarif" in summary
    document = json.loads((pytester.path / "out.json").read_text())
    assert len(document["reports"]) == 5
    assert document["exit_code"] == 1
    run_of_sarif = read_sarif((pytester.path / "out.sarif").read_text())["runs"][0]
    assert [entry["ruleId"] for entry in run_of_sarif["results"] if entry["level"] == "error"] == ["missing-gradient"] * 2
    names = {entry.get("name") for entry in ET.parse(pytester.path / "tests.xml").iter("property")}
    assert {"gradhealth.model", "gradhealth.ok", "gradhealth.errors", "gradhealth.rules"} <= names


@pytest.mark.slow
def test_quiet_summary_shows_the_sick_only(run: Run) -> None:
    text = run(TESTS, "-q").stdout.str()
    assert "sick    Sick" in text
    assert "healthy Sound" not in text


@pytest.mark.slow
def test_run_without_models_has_no_summary(run: Run) -> None:
    assert "gradient health" not in run("def test_it(): pass").stdout.str()


@pytest.mark.slow
def test_subtests_by_rule_on_request(run: Run) -> None:
    result = run(TESTS, "--gradhealth-subtests", "-k", "test_two")
    if "needs pytest 9" in result.stdout.str():  # pytest 8 has no subtests of its own
        assert int(pytest.__version__.split(".")[0]) < 9
        return
    result.stdout.fnmatch_lines(["*[[]missing-gradient[]]*"])
    failed = [line for line in result.stdout.lines if line.startswith(("FAILED", "SUBFAILED"))]
    assert len(failed) == 2, "the rule, and the test itself"
    assert result.stdout.str().count("sick    Sick") == 1
