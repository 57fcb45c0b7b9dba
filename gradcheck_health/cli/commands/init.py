"""`gradhealth init`: settings to start from, every one of them commented out, and never over what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings.catalogue import SETTINGS, default
from gradcheck_health.settings.config_files import TOML_NAME, YAML_NAME, nearest

HEAD = "Settings of gradcheck_health: every line that is commented out shows the default, or an example."


def write(folder: Path, toml: bool) -> Path:
    """Write the settings into a new `gradhealth.yaml`, or as a table at the end of `pyproject.toml`.

    Raises:
        UsageError: the folder has settings already, or the file cannot be written.
    """
    here = nearest(folder)
    if here is not None and Path(here.origin).resolve().parent == folder.resolve():
        raise UsageError(f"settings are there already, in {here.origin}: nothing is written over them")
    path = folder / (TOML_NAME if toml else YAML_NAME)
    try:
        if toml:
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            gap = "" if not old else "\n" if old.endswith("\n") else "\n\n"
            with path.open("a", encoding="utf-8") as file:
                file.write(gap + as_toml())
        else:
            with path.open("x", encoding="utf-8") as file:
                file.write(as_yaml())
    except FileExistsError:
        raise UsageError(f"{path} is there already: nothing is written over it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def as_yaml() -> str:
    """The whole of a `gradhealth.yaml`."""
    parts = [f"# {HEAD}"]
    for name, value, meaning in _settings():
        parts.append(f"# {meaning}\n# {name}: {_yaml(value)}")
    return "\n\n".join(parts) + "\n"


def as_toml() -> str:
    """The table of a `pyproject.toml`; tables in it are inline, so that each line stands for itself."""
    parts = [f"[tool.gradhealth]\n# {HEAD}"]
    for name, value, meaning in _settings():
        parts.append(f"# {meaning}\n# {name} = {_toml(value)}")
    return "\n\n".join(parts) + "\n"


def _settings() -> list[tuple[str, Any, str]]:
    """(name, default or example, what is allowed)."""
    return [
        (
            name.replace("_", "-"),
            default(name) if entry.example is None else entry.example,
            entry.allowed or "see the documentation",
        )
        for name, entry in SETTINGS.items()
        if entry.in_init
    ]


def _yaml(value: Any) -> str:
    return json.dumps(value)  # JSON is YAML


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
