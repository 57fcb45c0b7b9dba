"""Every rule, without a line for any of them: whole documentation, a quiet sound example, a sick one that is found."""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import Finding, Report, Severity, Sweep, Trace, Training, baseline, check_gradients, rules
from gradcheck_health.check.scale.sizes import smallest
from gradcheck_health.formats._rule_docs import EXAMPLES, example
from tests.support.ranks import results

HEADINGS = ("What it does", "Why it is bad", "How it is measured", "When it is legitimate", "How to fix", "How to silence")
NAMES = rules.names()


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"gradcheck_health.rules.{name.replace('-', '_')}")


def documentation(name: str) -> str:
    return inspect.getdoc(rules.builtin()[name]) or ""


def missing_headings(text: str) -> list[str]:
    """Headings that do not begin a paragraph of their own, each once and in this order."""
    found = [paragraph.partition(": ")[0] for paragraph in text.split("\n\n")[1:]]
    kept = [heading for heading in found if heading in HEADINGS]
    return [heading for heading in HEADINGS if heading not in kept] or ([] if kept == [*HEADINGS] else ["another order"])


def test_there_are_rules() -> None:
    assert {"vanishing-gradient", "exploding-gradient", "missing-gradient"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_is_whole(name: str) -> None:
    text = documentation(name)
    first = text.partition("\n")[0]
    assert first.endswith(".")
    assert missing_headings(text) == []


def test_missing_heading_is_seen() -> None:
    whole = "\n\n".join(["One line.", *(f"{heading}: text" for heading in HEADINGS)])
    assert missing_headings(whole) == []
    assert missing_headings(whole.replace("\n\nHow to fix: text", "")) == ["How to fix"]
    assert missing_headings(whole.replace("\n\nHow to fix", " How to fix")) == ["How to fix"]
    assert missing_headings(f"{whole}\n\nWhat it does: twice") == ["another order"]


@pytest.mark.parametrize("name", NAMES)
def test_options_are_keywords_with_defaults(name: str) -> None:
    trace, *options = inspect.signature(rules.builtin()[name]).parameters.values()
    assert trace.name == "trace"
    for option in options:
        assert option.kind is inspect.Parameter.KEYWORD_ONLY
        assert option.default is not inspect.Parameter.empty
        assert re.search(rf"\b{option.name}\b", documentation(name)), f"{option.name} is not documented"


def check_example(name: str, which: str, **settings: Any) -> Report:
    """The report on `healthy()` or `sick()`; a rule that is off unless configured has `healthy_options` for both.

    A rule that compares has `before()`, whose baseline both are held against.
    """
    module = module_of(name)
    if hasattr(module, "RANKS"):
        return on_ranks(name, which)
    options = {name: getattr(module, "healthy_options", {})}
    if hasattr(module, "before"):
        settings["baseline"] = baseline.of(check_gradients(module.before(), facts=["reseeded"]))
    return check_gradients(getattr(module, which)(), rules=options, **settings)


def on_ranks(name: str, which: str) -> Report:
    """As rank 0 says it, of the processes that all such examples share."""
    return Report.from_dict(_on_ranks()[f"{name} {which}"])


@cache
def _on_ranks() -> dict[str, Any]:
    return results("tests.rules.on_ranks:reports")[0]  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_healthy_example_gives_no_error_and_no_warning(name: str) -> None:
    report = check_example(name, "healthy")
    assert [(f.rule, f.message) for f in report.findings if f.severity is not Severity.NOTE] == []


@pytest.mark.parametrize("name", NAMES)
def test_sick_example_is_found(name: str) -> None:
    report = check_example(name, "sick")
    assert name in {finding.rule for finding in report.findings}


@pytest.mark.parametrize("which", EXAMPLES)
@pytest.mark.parametrize("name", NAMES)
def test_example_is_shown_as_code_that_runs_and_fits_a_terminal(name: str, which: str) -> None:
    code = example(rules.builtin()[name], which)
    assert code is not None
    assert [line for line in textwrap.indent(code, "    ").splitlines() if len(line) > 80] == []
    names: dict[str, Any] = {"good_example": module_of(name).healthy}
    exec(code, names)
    shown, built = names["model"], getattr(module_of(name), which)()
    assert type(shown).__name__ == type(built).__name__
    assert shapes(shown) == shapes(built)


def shapes(handed: Any) -> list[tuple[str, torch.Size]]:
    """Of the parameters of what an example hands over: a model, a training, a sweep, or a factory."""
    if isinstance(handed, Sweep):
        handed = smallest(handed)()
    model = handed.model if isinstance(handed, Training) else handed if isinstance(handed, nn.Module) else handed()
    return [(name, p.shape) for name, p in model.named_parameters()]


def test_a_rule_without_examples_shows_none() -> None:
    assert example(test_there_are_rules, "sick") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_finding_says_what_and_where(name: str) -> None:
    (finding, *_) = check_example(name, "sick", select=[name]).findings
    assert finding.message
    assert "\n" not in finding.message
    assert finding.places
    assert finding.got is None or re.search(r"\d", finding.message)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_verdict_survives_json(name: str) -> None:
    """A trace that was stored as JSON gives the same findings: rules see nothing but the trace."""
    report = check_example(name, "sick", select=[name])
    assert Report.from_json(report.to_json()).to_dict() == report.to_dict()  # dicts, because NaN is equal to nothing
    options = getattr(module_of(name), "healthy_options", {})
    stored = Trace.from_json(report.trace.to_json())
    again = [found for found in rules.builtin()[name](stored, **options) if isinstance(found, Finding)]
    assert {found.message for found in again} == {found.message for found in report.findings}
