"""Readers of the formats that were not written by the writers: each refuses what its consumer would refuse."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree as ET

import attr
import jsonschema
import junitparser
import sarif_om
import sarif_pydantic
from markdown_it import MarkdownIt
from markdown_it.token import Token

# ---- SARIF: the names and the required fields as sarif_om has them, generated from the schema; the types as sarif_pydantic

_PARTS: dict[tuple[str, str], str] = {
    ("SarifLog", "runs"): "Run",
    ("Run", "tool"): "Tool",
    ("Run", "invocations"): "Invocation",
    ("Run", "results"): "Result",
    ("Tool", "driver"): "ToolComponent",
    ("ToolComponent", "rules"): "ReportingDescriptor",
    ("ReportingDescriptor", "shortDescription"): "MultiformatMessageString",
    ("ReportingDescriptor", "fullDescription"): "MultiformatMessageString",
    ("ReportingDescriptor", "help"): "MultiformatMessageString",
    ("ReportingDescriptor", "defaultConfiguration"): "ReportingConfiguration",
    ("Invocation", "toolExecutionNotifications"): "Notification",
    ("Notification", "message"): "Message",
    ("Notification", "locations"): "Location",
    ("Result", "message"): "Message",
    ("Result", "locations"): "Location",
    ("Result", "relatedLocations"): "Location",
    ("Result", "suppressions"): "Suppression",
    ("Location", "physicalLocation"): "PhysicalLocation",
    ("Location", "logicalLocations"): "LogicalLocation",
    ("Location", "message"): "Message",
    ("PhysicalLocation", "artifactLocation"): "ArtifactLocation",
    ("PhysicalLocation", "region"): "Region",
}
_LATER = {("Suppression", "status")}
"""Named otherwise in the draft from which sarif_om was generated; sarif_pydantic has it."""
_WORDS = {
    "level": {"none", "note", "warning", "error"},
    "kind": {"notApplicable", "pass", "fail", "review", "open", "informational", "external", "inSource", "member"},
    "baselineState": {"new", "unchanged", "updated", "absent"},
    "status": {"accepted", "underReview", "rejected"},
}
_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")


def read_sarif(text: str) -> Any:
    """The document, if it is one that a viewer takes.

    Raises:
        ValueError: it is not (a pydantic ValidationError is one).
    """
    document = json.loads(text)
    _sarif_object("SarifLog", document, "")
    sarif_pydantic.Sarif.model_validate_json(text)
    for run in document["runs"]:
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        if len(set(rules)) < len(rules):
            raise ValueError("a rule stands twice")
        for result in run["results"]:
            if rules[result["ruleIndex"]] != result["ruleId"]:
                raise ValueError(f"ruleIndex {result['ruleIndex']} is not {result['ruleId']}")
    return document


def _sarif_object(kind: str, value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: not an object")
    fields = {field.metadata["schema_property_name"]: field for field in attr.fields(getattr(sarif_om, kind))}
    if unknown := {name for name in set(value) - set(fields) if (kind, name) not in _LATER}:
        raise ValueError(f"{where}: {kind} has no {sorted(unknown)}")
    if missing := {name for name, field in fields.items() if field.default is attr.NOTHING} - set(value):
        raise ValueError(f"{where}: {kind} needs {sorted(missing)}")
    for name, inner in value.items():
        if name in _WORDS and inner not in _WORDS[name]:
            raise ValueError(f"{where}.{name}: {inner!r}")
        if name == "uri" and not _URI.fullmatch(inner):
            raise ValueError(f"{where}.uri: {inner!r} is no URI")
        if name == "startLine" and (type(inner) is not int or inner < 1):
            raise ValueError(f"{where}.startLine: {inner}")
        for entry in (inner if isinstance(inner, list) else [inner]) if (kind, name) in _PARTS else ():
            _sarif_object(_PARTS[kind, name], entry, f"{where}.{name}")


# ---- JUnit


def read_junit(text: str) -> junitparser.JUnitXml:
    """Raises ValueError: no XML, or counts that are not those of the cases."""
    try:
        root = ET.fromstring(text.encode())
        found = junitparser.JUnitXml.fromstring(text.encode())
    except (SyntaxError, junitparser.JUnitXmlError) as error:
        raise ValueError(str(error)) from error
    for total in ("tests", "failures", "errors", "skipped"):
        if int(root.get(total, "0")) != sum(int(suite.get(total, "0")) for suite in root):
            raise ValueError(f"the total of {total} is wrong")
    for suite in found:
        counted = [(suite.tests, suite.failures, suite.errors, suite.skipped)]
        suite.update_statistics()
        if counted != [(suite.tests, suite.failures, suite.errors, suite.skipped)]:
            raise ValueError(f"counts {counted} of {suite.name!r} are wrong")
    return found


# ---- GitLab, by the table of its documentation

_GITLAB = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string"},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./)"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}


def read_gitlab(text: str) -> Any:
    """Raises ValueError: a field is missing or wrong, or a fingerprint stands twice."""
    if text.startswith("\ufeff"):
        raise ValueError("a byte order mark is refused")
    document = json.loads(text)
    try:
        jsonschema.Draft202012Validator(_GITLAB).validate(document)
    except jsonschema.ValidationError as error:
        raise ValueError(error.message) from error
    prints = [issue["fingerprint"] for issue in document]
    if len(set(prints)) < len(prints):
        raise ValueError("a fingerprint stands twice")
    return document


# ---- GitHub annotations, as the runner reads a line


def read_github(text: str) -> list[tuple[str, dict[str, str], str]]:
    """(command, properties, message) of every line; ValueError: a line that the runner takes for text or another command."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if not line.startswith("::"):
            raise ValueError(f"{line!r} is no command")
        head, end, message = line[2:].partition("::")
        name, _, rest = head.partition(" ")
        if not end or name not in ("error", "warning", "notice"):
            raise ValueError(f"{line!r} is another command")
        properties = {}
        for entry in rest.split(",") if rest else ():
            key, equals, value = entry.partition("=")
            if not equals or key not in ("title", "file", "line"):
                raise ValueError(f"property {entry!r}")
            properties[key] = _unescaped(value, {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ","})
        found.append((name, properties, _unescaped(message, {"%0D": "\r", "%0A": "\n"})))
    return found


def _unescaped(text: str, codes: dict[str, str]) -> str:
    for code, char in codes.items():
        text = text.replace(code, char)
    return text.replace("%25", "%")


# ---- Markdown


def read_markdown(text: str) -> list[Token]:
    """Raises ValueError: HTML in it, a picture, a link, or a table whose rows have not as many cells as its head."""
    tokens = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable(["table", "strikethrough"]).parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    for token in [*tokens, *inline]:
        if token.type in ("html_block", "html_inline", "image", "link_open", "s_open", "em_open"):
            raise ValueError(f"{token.type}: {token.content!r}")
    tables = sum(token.type == "table_open" for token in tokens)
    # a parser drops the cells that are too many
    rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    if len(set(rows)) > 1 or bool(rows) != bool(tables):
        raise ValueError(f"{tables} tables, cells a row: {rows}")
    return tokens


def shown(tokens: list[Token]) -> str:
    """What a person reads of Markdown."""
    parts = []
    for token in tokens:
        if token.type == "fence":
            parts.append(token.content)
        elif token.type == "inline":
            parts.append("".join(child.content for child in token.children or ()))
    return "\n".join(parts)
