"""Traces and reports out of thin air for tests: any value that the types allow, and names that attack whoever prints them."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from gradcheck_health.records.codec import stored_fields
from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.measurements import CutPoint, InputsTrace
from gradcheck_health.records.report import Report
from gradcheck_health.records.trace import Trace

HOSTILE = (
    "weight\x00\x07\x7f",
    "\ud800weight\udfff",
    "[/bold]weight[red]",
    "</script><script>alert(1)</script>",
    "\x1b[31mweight\x1b]0;title\x07",
    "weight\u202egpj.\u2066",
    "::error::weight\n::error file=x::y",
    "##[error]weight\r\n##vso[task]",
    "=cmd|' /C calc'!A0",
    "a|b|c",
    "w" * 300,
    "../../etc/passwd",
    "`rm -rf /`; $(true) 'quoted' \"twice\"",
    "tab\tnewline\u2028paragraph\u2029\x85",
    "{model} %s {0} \\x1b",
    "\u0663\u00e9\u4e2d\U0001f600",
    "",
)

# high surrogates only: JSON reads a high one before a low one as one character
_surrogates = st.characters(min_codepoint=0xD800, max_codepoint=0xDBFF, categories=["Cs"])
_names = (
    st.text(max_size=8) | st.sampled_from(HOSTILE) | st.text(_surrogates | st.characters(categories=["Cc", "Cf"]), max_size=4)
)


WHOLE = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    # shrinking a whole report takes minutes
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
"""For properties of whole reports and traces."""


def values(hint: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a type hint; traces inside of traces are two deep at most."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(values(argument, depth) for argument in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0], depth), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(argument, depth) for argument in arguments))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if depth > 1:  # the facts of facts
            return st.just({})
        return st.dictionaries(_names, values(arguments[1], depth), max_size=2)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        deeper = depth + (hint is Trace)
        fields = {name: hints[name] for name in stored_fields(hint)}
        return st.deferred(lambda: st.builds(hint, **{name: values(inner, deeper) for name, inner in fields.items()}))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: _names,
        bool: st.booleans(),
        int: st.integers(),
        float: st.floats(),
        type(None): st.none(),
    }
    return plain[hint]


def trace(**changes: Any) -> Trace:
    """A small sound trace."""
    flow = (CutPoint("stem", "Addmm", 0.5), CutPoint("head", "Addmm", 1.0))
    inputs = InputsTrace("float32[64, 8]", "made up from stem (Linear)", True, 64)
    made = Trace("Net", {}, {}, (), flow, (), inputs, "random projection", 0)
    return dataclasses.replace(made, **changes)


def finding(**changes: Any) -> Finding:
    """An error at one place."""
    places = (Place("encoder.3", "Sigmoid", "model.py:41"),)
    made = Finding("vanishing-gradient", Severity.ERROR, "the gradient shrinks 3.1e-12 x (at least 8e-05 allowed)", places)
    return dataclasses.replace(made, **changes)


def report(*findings: Finding, **changes: Any) -> Report:
    """A report on `trace()` with these findings."""
    made = Report("Net", "model.py:Net", findings, trace(), ("vanishing-gradient", "missing-gradient"))
    return dataclasses.replace(made, **changes)
