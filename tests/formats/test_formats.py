"""Every format, under names that attack it; the terminal text to the letter; JSON against its schema."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from gradcheck_health import formats
from gradcheck_health.check.suppressions import accept
from gradcheck_health.formats import _schema, terminal
from gradcheck_health.formats import json as json_format
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.measurements import CutPoint
from gradcheck_health.records.report import Failure, Report
from tests.support.hostile import HOSTILE, WHOLE, finding, report, trace, values

FORMATS = {name: formats.find(name) for name in formats.names()}
COPIED = ("repeat:", "explain:", "accept:")
"""Lines that a person copies: they may be longer than the terminal is wide."""


def hostile(name: str) -> Report:
    """A report with the name wherever a name can stand."""
    place = Place(name, name, name, name)
    found = Finding(name, Severity.ERROR, name, (place, place), ((name, name), ("because", name)))
    inputs = trace().inputs
    seen = trace(model=name, gaps=(name,), flow_note=name, inputs=type(inputs)(name, name, True, None))
    accepted = finding(rule=name, suppressed=name)
    return report(found, accepted, model=name, target=name, trace=seen, unmatched=(name,), environment={name: name})


# ---- every format


def test_formats_are_the_files() -> None:
    assert {"concise", "github", "gitlab", "json", "junit", "markdown", "sarif", "terminal"} <= set(FORMATS)
    assert len({module.SUFFIX for module in FORMATS.values()}) == len(FORMATS)


@pytest.mark.parametrize("module", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_harmless_and_the_text_is_the_same_every_time(module: ModuleType, name: str) -> None:
    text = module.render(hostile(name))
    assert text == module.render(hostile(name))
    assert text.endswith("\n")
    text.encode("utf-8")  # no lone surrogate is left
    controls = [
        char for char in text if (ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160 or char in "\u202e\u2066\u2028"
    ]
    assert controls == []
    lines = [line.lstrip() for line in text.splitlines()]
    if module.SUFFIX != ".github.txt":  # commands are what it writes: tests/formats/test_documents.py reads them
        assert not [line for line in lines if line.startswith(("::", "##[", "##vso"))]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("json", "json"),
        ("terminal", "terminal"),
        ("out/a.json", "json"),
        (Path("a.JSON"), "json"),
        ("report.txt", "terminal"),
        ("out.sarif.json", "sarif"),
        ("a.gitlab.json", "gitlab"),
        ("ci/gl-code-quality-report.json", "gitlab"),
        ("a.concise.txt", "concise"),
    ],
)
def test_format_is_found_by_name_or_suffix(wanted: str | Path, name: str) -> None:
    assert formats.find(wanted) is FORMATS[name]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("jsn", "did you mean 'json'"), ("a.docx", "'.docx', known are .concise.txt, "), ("dir/x", "known are")],
)
def test_unknown_format_is_reported_with_the_known_ones(wanted: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        formats.find(wanted)
    assert words in str(caught.value)


# ---- JSON


def validator() -> jsonschema.Draft202012Validator:
    document = json.loads(_schema.PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def test_shipped_schema_is_that_of_the_dataclasses() -> None:
    assert json.loads(_schema.PATH.read_text()) == _schema.schema(), "run python -m gradcheck_health.formats._schema"


@pytest.mark.slow
@settings(WHOLE, max_examples=25)
@given(values(Report))
def test_every_report_is_valid_json_and_comes_back(made: Report) -> None:
    text = json_format.render(made)
    document = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not strict JSON"))
    validator().validate(document)
    assert repr(Report.from_json(text)) == repr(made)


@pytest.mark.slow
def test_run_of_the_command_line_is_valid() -> None:
    failures = [Failure("bad.py", "it raised\n\x1b[31m", 3)]
    document = json.loads(json_format.render_run([report(finding())], failures, 3))
    validator().validate(document)
    assert document["exit_code"] == 3
    assert document["failures"][0]["message"] == failures[0].message
    validator().validate(json.loads(json_format.render_run([], [], 2)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["findings"][0].update(severity="fatal"),
        lambda d: d.pop("trace"),
        lambda d: d.update(extra=1),
        lambda d: d.update(schema=2),
        lambda d: d["trace"]["flow"][0].update(gradient="large"),
        lambda d: d["findings"][0]["places"].append("encoder"),
        lambda d: d["findings"][0].update(details=[["because"]]),
    ],
)
def test_known_bad_document_is_refused(spoil: Any) -> None:
    document = json.loads(json_format.render(report(finding(details=(("because", "x"),)))))
    assert validator().is_valid(document)
    spoil(document)
    assert not validator().is_valid(document)


# ---- terminal

SICK = (
    Finding(
        "vanishing-gradient",
        Severity.ERROR,
        "the gradient shrinks 3.1e-12 x from head to stem (at least 8e-05 allowed for SGD)",
        (Place("encoder.3.act", "Sigmoid", "model.py:41"),),
        (
            ("starts", "encoder.3.act (Sigmoid), model.py:41; each of 16 blocks keeps 0.19 of the norm"),
            ("because", "sigmoid keeps at most 0.25 of a gradient; here 0.21 on average"),
            ("confirmed", "5 of 5 seeds; float64 agrees"),
        ),
    ),
    Finding(
        "missing-gradient",
        Severity.ERROR,
        "2 of 42 trainable parameters have no gradient (0 allowed)",
        (Place("aux.weight", "Linear", "model.py:23", "never called"), Place("aux.bias", "Linear", "model.py:23")),
        (("help", "use the layer in forward(), or freeze it with requires_grad_(False)"),),
    ),
    Finding(
        "dead-unit", Severity.WARNING, "60 % of the units of 7 layers are off", tuple(Place(f"fc{i}", "ReLU") for i in range(7))
    ),
)
EXPECTED = """\
vanishing-gradient, missing-gradient, dead-unit in Net (2 errors, 1 warning)

error: vanishing-gradient: the gradient shrinks 3.1e-12 x from head to stem (at
    least 8e-05 allowed for SGD)
    starts     encoder.3.act (Sigmoid), model.py:41; each of 16 blocks keeps
               0.19 of the norm
    because    sigmoid keeps at most 0.25 of a gradient; here 0.21 on average
    confirmed  5 of 5 seeds; float64 agrees

error: missing-gradient: 2 of 42 trainable parameters have no gradient (0
    allowed)
    at         aux.weight, aux.bias (Linear, never called), model.py:23
    help       use the layer in forward(), or freeze it with
               requires_grad_(False)

warning: dead-unit: 60 % of the units of 7 layers are off
    at         fc0, fc1, fc2, fc3 (ReLU); and 3 more

inputs:  float32[64, 8], made up from stem (Linear) (pass inputs= for real
         ones); seed 0; 3 rounds
not seen: 1 region: vmap in attention.scores
repeat:  gradhealth check model.py:Net --seed 0
explain: gradhealth explain vanishing-gradient
accept:  ignore={'missing-gradient:aux.*': 'the reason'}
"""


def test_failure_message_to_the_letter() -> None:
    made = report(*SICK, rounds=3, trace=trace(gaps=("vmap in attention.scores",)))
    assert terminal.render(made) == EXPECTED


def test_sound_model_takes_one_short_block() -> None:
    text = terminal.render(report())
    assert text.splitlines()[0] == "Net: no unhealthy gradient found (2 rules ran)"
    assert "keeps 0.5 of its norm from head to stem" in text
    assert "float32[64, 8], made up from stem (Linear)" in text
    assert len(text.splitlines()) <= 6
    assert "accept:" not in text


def test_flow_that_a_zero_initialisation_holds_back_is_reported_as_it_is_a_moment_later() -> None:
    asleep = (CutPoint("stem", "Addmm", 0.0), CutPoint("head", "Addmm", 1.0))
    text = " ".join(terminal.render(report(trace=trace(flow=asleep, facts={"kicked": (trace(),)}))).split())
    assert "keeps 0 of its norm from head to stem (2 cut points); once the weights that are 0 at the start have moved" in text
    assert "it keeps 0.5 of its norm" in text


def test_accepted_findings_are_not_passed_over_in_the_headline() -> None:
    first = terminal.render(report(finding(suppressed="known"))).splitlines()[0]
    assert first == "Net: no unhealthy gradient found apart from 1 accepted finding (2 rules ran)"


def test_flow_that_was_not_judged_says_why() -> None:
    assert "not judged: fewer than 8 values a channel" in terminal.render(
        report(trace=trace(flow_note="fewer than 8 values a channel"))
    )


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_line_but_a_command_is_wider_than_the_terminal(width: int, name: str) -> None:
    for made in (report(*SICK), hostile(name), report(finding(rule=name, places=(Place(name),)))):
        for line in terminal.render(made, width=width, verbose=True).splitlines():
            assert len(line) <= width or line.startswith(COPIED), line
            assert line.isascii()


def test_wide_terminal_needs_fewer_lines() -> None:
    made = report(*SICK)
    assert len(terminal.render(made, width=200).splitlines()) < len(terminal.render(made, width=80).splitlines())


def test_headline_keeps_rule_names_first_and_fits_however_many_there_are() -> None:
    many = [finding(rule=f"rule-with-a-long-name-{i}") for i in range(20)]
    first = terminal.render(report(*many, model="M" * 300)).splitlines()[0]
    assert first.startswith("rule-with-a-long-name-0")
    assert "and 19 more in M" in first
    assert first.endswith("(20 errors)")
    assert len(first) <= 80


def test_name_of_a_sound_model_is_cut_only_where_it_does_not_fit() -> None:
    assert terminal.render(report(model="TransformerEncoderLayer")).startswith("TransformerEncoderLayer: no unhealthy")
    assert len(terminal.render(report(model="M" * 300)).splitlines()[0]) == 80


def test_notes_and_accepted_findings_are_counted_and_shown_when_asked_for() -> None:
    made = report(finding(severity=Severity.NOTE, message="worth knowing"), finding(suppressed="frozen on purpose"))
    quiet, verbose = terminal.render(made), terminal.render(made, verbose=True)
    assert "worth knowing" not in quiet
    assert "notes:   1, not shown" in quiet
    assert "accepted: 1 finding of vanishing-gradient" in quiet
    assert "frozen on purpose" not in quiet
    assert "note: vanishing-gradient: worth knowing" in verbose
    assert "frozen on purpose" in " ".join(verbose.split())


def test_note_that_fails_is_shown() -> None:
    made = report(finding(severity=Severity.NOTE, message="worth knowing"), fail_on=Severity.NOTE)
    assert "note: vanishing-gradient: worth knowing" in terminal.render(made)


def test_ignore_entry_that_matched_nothing_is_said() -> None:
    assert "ignore entry 'x:y' matched nothing" in terminal.render(report(unmatched=("x:y",)))


def test_object_that_was_handed_over_is_repeated_in_python() -> None:
    assert "repeat:  check_gradients(model, seed=7)" in terminal.render(report(finding(), target=None, seed=7))
    assert "repeat:  pytest x" in terminal.render(report(finding()), repeat="pytest x")


@pytest.mark.parametrize(
    "names", [(name,) for name in HOSTILE] + [("a.b.weight", "a.b.bias"), ("a.w", "b.w"), ("w[0]*",), ("x", "")], ids=ascii
)
def test_accept_line_can_be_pasted_and_accepts_the_finding(names: tuple[str, ...]) -> None:
    found = finding(places=tuple(map(Place, names)))
    lines = terminal.render(report(found)).splitlines()
    (line,) = (line for line in lines if line.startswith("accept:"))
    ignore = ast.literal_eval(line.partition("ignore=")[2])
    (accepted,), unmatched = accept([found], ignore, [found.rule])
    assert accepted.suppressed == "the reason"
    assert unmatched == ()
