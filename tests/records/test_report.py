"""What a report concludes from its findings, and that it survives JSON."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given

from gradcheck_health.records import errors
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.report import Report, UnhealthyGradientsError
from tests.support.hostile import HOSTILE, WHOLE, finding, report, values


@pytest.mark.slow
@WHOLE
@given(values(Report))
def test_json_round_trip_loses_nothing(made: Report) -> None:
    text = made.to_json()
    assert text.isascii()
    again = Report.from_json(text)
    assert repr(again) == repr(made)
    assert again.ok == made.ok


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_name_survives_json(name: str) -> None:
    made = report(
        finding(rule=name, message=name, places=(Place(name, name, name, name),), details=((name, name),), suppressed=name),
        model=name,
    )
    assert Report.from_json(made.to_json()) == made


def test_verdict_follows_severity_suppression_and_fail_on() -> None:
    error, warning, note = (finding(severity=severity) for severity in Severity)
    accepted = finding(suppressed="known")
    assert report().ok
    assert not report(error).ok
    assert report(warning, note, accepted).ok
    assert not report(warning, fail_on=Severity.WARNING).ok
    assert not report(note, fail_on=Severity.NOTE).ok
    assert report(error, warning, accepted).failures == (error,)
    assert report(error, accepted).active == (error,)
    assert report(error, accepted).count(Severity.ERROR) == 1


def test_ok_in_a_document_is_a_statement_not_a_setting() -> None:
    document = json.loads(report(finding()).to_json())
    assert document["ok"] is False
    assert not Report.from_dict({**document, "ok": True}).ok


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 0}, "schema 0"),
        ({"findings": [{}]}, "report.findings[0]"),
        ({"findings": [{"rule": "x", "severity": "fatal", "message": ""}]}, "report.findings[0].severity"),
        ({"fail_on": None}, "report.fail_on"),
        ({"trace": None}, "report.trace"),
        ({"rules": [1]}, "report.rules[0]"),
    ],
)
def test_wrong_document_is_refused_with_its_place(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Report.from_dict({**report().to_dict(), **change})
    assert words in str(caught.value)


def test_error_is_an_assertion_that_carries_the_report() -> None:
    made = report(finding())
    error = UnhealthyGradientsError("text", made)
    assert isinstance(error, AssertionError)
    assert (str(error), error.report) == ("text", made)


def test_errors_survive_pickle_and_are_shown_where_people_import_them_from() -> None:
    error = pickle.loads(pickle.dumps(UnhealthyGradientsError("text", report(finding()))))
    assert (str(error), error.report) == ("text", report(finding()))
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(classes) > 5
    for cls in (*classes, UnhealthyGradientsError):
        assert pickle.loads(pickle.dumps(cls)) is cls
        assert cls.__module__ == "gradcheck_health"


def test_place_says_what_and_where() -> None:
    assert str(Place("aux.weight", "Linear", "model.py:23", "never called")) == "aux.weight (Linear, never called), model.py:23"
    assert str(Place("", "Net")) == "the model itself (Net)"
    assert Finding("r", Severity.NOTE, "m", (Place("a"), Place("b"))).names == ("a", "b")
