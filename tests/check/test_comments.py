"""Comments in the code of a model that accept a finding, and the lines at which findings stand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from gradcheck_health import UsageError, check_gradients
from gradcheck_health.check.comments import Code, Comment, comments, silence
from gradcheck_health.records.finding import Finding, Place, Severity
from tests.support.hostile import HOSTILE, finding

KNOWN = ("missing-gradient", "dead-unit")
MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 8),
            nn.ReLU(),
        )
        self.first = nn.Linear(2, 2)  # COMMENT
        self.second = nn.Linear(2, 2)

    def forward(self, x):
        return self.body(x)

class Other(nn.Module):  # gradhealth: ignore[nonsense]
    pass
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """`Net` of a file of its own, with a comment in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"inline_{abs(hash(request.node.nodeid))}"

    def make(comment: str) -> Any:
        (tmp_path / f"{name}.py").write_text(MODEL.replace("# COMMENT", comment))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name).Net()

    return make


def read(text: str, *known: str) -> list[Comment]:
    return comments([Code("m.py", text, ((1, len(text.splitlines())),))], known or KNOWN)


def test_comment_takes_its_line_out_of_the_finding(build: Any) -> None:
    (found,) = check_gradients(build("# gradhealth: ignore[missing-gradient] -- kept for later")).findings
    assert found.names == ("second.bias", "second.weight")
    assert found.suppressed is None
    (note,) = (text for label, text in found.details if label == "accepted")
    assert note.startswith("2 of 4 places: kept for later (inline_")
    assert note.endswith(".py:11)")


def test_comment_and_settings_together_accept_a_finding(build: Any) -> None:
    model = build("# gradhealth: ignore[missing-gradient] -- kept for later")
    report = check_gradients(model, ignore={"missing-gradient:second.*": "this one, too"})
    assert report.ok
    assert report.unmatched == ()


@pytest.mark.slow
def test_comment_that_matches_nothing_is_reported(build: Any) -> None:
    comment = "# gradhealth: ignore[missing-gradient, dead-unit] -- kept for later"
    report = check_gradients(build(comment))
    (stale,) = report.unmatched
    assert stale.endswith(".py:11: ignore[dead-unit]")
    assert check_gradients(build(comment), select=["missing-gradient"]).unmatched == (), "the rule did not run"


@pytest.mark.parametrize("comment", ["# gradhealth: ignore[missing-gradient]", "# gradhealth: ignore[mising-gradient] -- x"])
def test_wrong_comment_is_an_error_with_its_line(build: Any, comment: str) -> None:
    model = build(comment)
    with pytest.raises(UsageError, match=r"inline_\d+\.py:11: ") as caught:
        check_gradients(model)
    assert ("allowed: # gradhealth: ignore[" in str(caught.value)) or ("did you mean" in str(caught.value))
    assert "nonsense" not in str(caught.value), "it stands in a class that the model does not use"


def test_every_finding_has_the_line_that_builds_the_layer(build: Any) -> None:
    def always(trace: Any) -> Any:
        yield Finding("always", Severity.WARNING, "x", (Place("body.1"), Place("first.weight"), Place(""), Place("nowhere")))

    report = check_gradients(build(""), extra_rules=[always], select=["always"])
    lines = [(place.source or "").rpartition(":")[2] for place in report.findings[0].places]
    assert lines == ["9", "11", "4", ""]


@pytest.mark.parametrize(
    ("text", "first", "line"),
    [
        ("x = 1  # gradhealth: ignore[dead-unit] -- why", 1, 1),
        ("x = f(\n  1,\n)  # gradhealth: ignore[dead-unit] -- why", 1, 3),
        ("x = f(\n  1,  # gradhealth: ignore[dead-unit] -- why\n)", 2, 2),
        ("if x:\n    y = (1,\n  2)  #gradhealth:ignore[ dead-unit ]--why", 2, 3),
        ("for x in y:  # gradhealth: ignore[dead-unit] -- why\n    pass", 1, 1),
    ],
)
def test_comment_counts_for_its_line_or_the_statement_that_it_ends(text: str, first: int, line: int) -> None:
    (found,) = read(text)
    assert (found.first, found.line, found.rules, found.reason) == (first, line, ("dead-unit",), "why")
    assert [found.covers(f"m.py:{n}") for n in range(6)] == [first <= n <= line for n in range(6)]
    assert not found.covers(f"other.py:{line}")
    assert not found.covers(None)


@pytest.mark.parametrize(
    "text",
    ["x = '# gradhealth: ignore[dead-unit]'", '"""\n# gradhealth: nonsense\n"""', "# about gradhealth: see above", "x = (", ""],
)
def test_what_is_no_comment_of_ours_is_left_alone(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    "body",
    [
        "ignore",
        "ignore -- why",
        "ignore[] -- why",
        "ignore[dead-unit]",
        "ignore[dead-unit] -- ",
        "ignor[dead-unit] -- x",
        "seed=3",
    ],
)
def test_malformed_comment_is_reported(body: str) -> None:
    with pytest.raises(UsageError, match=r"m\.py:1: got `# gradhealth: ") as caught:
        read(f"x = 1  # gradhealth: {body}")
    assert "allowed: # gradhealth: ignore[rule, rule] -- the reason" in str(caught.value)


@pytest.mark.parametrize("attack", HOSTILE, ids=ascii)
def test_hostile_source_matches_no_comment(attack: str) -> None:
    (comment,) = read("x = 1  # gradhealth: ignore[dead-unit] -- why")
    found, _ = silence([finding(rule="dead-unit", places=(Place(attack, source=attack),))], [comment], KNOWN)
    assert found[0].suppressed is None
