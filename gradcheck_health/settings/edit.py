"""Write inferred inputs into a settings file: the entry of one target is replaced or added, everything else stays as it was."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.files import locked, read_regular, replace
from gradcheck_health.settings.config_files import TOML_NAME, YAML_NAME, from_file

MAX_BYTES = 2**24
TABLE = "saved_inputs"
SPELLINGS = (TABLE, "saved-inputs")


def save(path: Path, target: str, entry: Mapping[str, Any]) -> None:
    """Put `entry` at `saved_inputs[target]` of a YAML or TOML file of settings.

    Raises:
        UsageError: the file is of another kind, cannot be read or written, or holds the table in a form that only its author
            can change.
    """
    if path.suffix not in (".yaml", ".yml", ".toml"):
        raise UsageError(f"--save {path}: allowed: {YAML_NAME} or {TOML_NAME}, where settings are read from")
    try:
        with locked(path):
            _edit(path, target, entry)
    except OSError as error:
        raise UsageError(f"--save {path}: cannot be written: {error.strerror or error}") from error


def _edit(path: Path, target: str, entry: Mapping[str, Any]) -> None:
    before: dict[str, Any] = dict(from_file(path).table) if path.exists() else {}
    contents = read_regular(path, MAX_BYTES).decode("utf-8") if path.exists() else ""
    edit = _toml if path.suffix == ".toml" else _yaml
    after = edit(contents.replace("\r\n", "\n"), path, target, entry, before)
    real = Path(os.path.realpath(path))  # what it is read for depends on the folder
    temporary = real.with_name(f".{os.getpid()}.{path.name}.new{path.suffix}")
    try:
        temporary.write_text(after, encoding="utf-8")
        _expect(temporary, path, {**before, **_merged(before, target, entry)})
    finally:
        temporary.unlink(missing_ok=True)
    replace(path, after.replace("\n", "\r\n") if "\r\n" in contents else after)


def _merged(before: Mapping[str, Any], target: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    key = _spelling(before)
    return {key: {**(before.get(key) or {}), target: dict(entry)}}


def _spelling(before: Mapping[str, Any]) -> str:
    return next((name for name in SPELLINGS if name in before), TABLE)


def _expect(written: Path, path: Path, wanted: Mapping[str, Any]) -> None:
    """The edit is done on text, which keeps comments: the result must be what was intended, or nothing is written."""
    try:
        found: Any = dict(from_file(written).table)
    except UsageError as error:
        found = str(error)
    if found != wanted:
        raise UsageError(
            f"--save {path}: the table {TABLE} stands there in a form that cannot be edited without touching the rest;"
            " save into a new file and copy the entry"
        )


def _yaml(text: str, path: Path, target: str, entry: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    block = [f"  {_quoted(target)}:", *(f"    {key}: {_quoted(entry[key])}" for key in ("model", "forward")), "    inputs:"]
    block += [f"      {_quoted(name)}: {_quoted(spec)}" for name, spec in entry["inputs"].items()]
    lines = text.rstrip("\n").split("\n") if text.strip() else []
    key = _spelling(before)
    head = next((i for i, line in enumerate(lines) if re.fullmatch(rf"{key}\s*:\s*(#.*)?", line)), None)
    if head is None:
        gap = [""] if lines else []
        return "\n".join([*lines, *gap, f"{key}:", *block]) + "\n"
    end = _extent(lines, head, 0)
    own = next((i for i in range(head + 1, end) if re.match(rf" +{re.escape(_quoted(target))}\s*:", lines[i])), None)
    if own is None:
        return "\n".join([*lines[:end], *block, *lines[end:]]) + "\n"
    indent = len(lines[own]) - len(lines[own].lstrip())
    return "\n".join([*lines[:own], *block, *lines[_extent(lines, own, indent) :]]) + "\n"


def _extent(lines: list[str], head: int, indent: int) -> int:
    """The line after the last one that is indented below `head`; empty lines and comments behind it belong to what follows."""
    end = head + 1
    for i in range(head + 1, len(lines)):
        bare = lines[i].lstrip()
        if not bare or bare.startswith("#"):
            continue
        if len(lines[i]) - len(bare) <= indent:
            break
        end = i + 1
    return end


def _toml(text: str, path: Path, target: str, entry: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    prefix = "tool.gradhealth." if path.name == TOML_NAME or "[tool.gradhealth" in text else ""
    header = f"[{prefix}{_spelling(before)}.{_quoted(target)}]"
    inputs = ", ".join(f"{_quoted(name)} = {_quoted(spec)}" for name, spec in entry["inputs"].items())
    block = [header, *(f"{key} = {_quoted(entry[key])}" for key in ("model", "forward")), f"inputs = {{ {inputs} }}"]
    lines = text.rstrip("\n").split("\n") if text.strip() else []
    own = next((i for i, line in enumerate(lines) if line.strip() == header), None)
    if own is None:
        return "\n".join([*lines, *([""] if lines else []), *block]) + "\n"
    end = next((i for i in range(own + 1, len(lines)) if lines[i].startswith("[")), len(lines))
    rest = lines[end:]
    return "\n".join([*lines[:own], *block, *([""] if rest else []), *rest]) + "\n"


def _quoted(text: str) -> str:
    """A string that YAML and TOML read alike."""
    return json.dumps(text)
