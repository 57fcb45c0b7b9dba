"""Rules of installed packages are found by what those announce, and the metadata is read only where something is announced."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gradcheck_health import rules
from gradcheck_health.cli.commands import explain

ANNOUNCED = "[gradhealth.rules]\nquiet = quiet_rules:quiet_rule\n"
RULE = 'def quiet_rule(trace):\n    """It never says a word."""\n    yield from ()\n'


def install(place: Path, kind: str, text: str) -> None:
    package = place / f"quiet_rules{kind}"
    package.mkdir(parents=True)
    (package / ("METADATA" if kind.startswith("-") else "PKG-INFO")).write_text("Name: quiet-rules\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(text)
    (place / "quiet_rules.py").write_text(RULE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is on the path, with nothing else of others there."""
    standard = [path for path in sys.path if "site-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *standard])
    monkeypatch.delitem(sys.modules, "quiet_rules", raising=False)
    return tmp_path / "site"


@pytest.mark.parametrize("kind", ["-1.0.dist-info", ".egg-info"])
def test_rule_of_a_package_is_found(place: Path, kind: str) -> None:
    install(place, kind, ANNOUNCED)
    assert rules.installed() == ("quiet_rules:quiet_rule",)
    assert re.search("^quiet-rule +It never says a word.$", explain.listing(), re.MULTILINE)
    assert "quiet-rule: It never says a word." in explain.explain("quiet_rule")


def test_package_in_a_zip_file_is_found(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(place, "-1.0.dist-info", ANNOUNCED)
    archive = place.parent / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(place.rglob("*")):
            file.write(path, path.relative_to(place))
    monkeypatch.setattr(sys, "path", [str(archive), *sys.path[1:]])
    assert rules.installed() == ("quiet_rules:quiet_rule",)


def test_what_announces_other_things_costs_no_look(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> Any:
        raise AssertionError

    install(place, "-1.0.dist-info", "[console_scripts]\nquiet = quiet_rules:main\n")
    monkeypatch.setattr(importlib.metadata, "entry_points", refuse)
    assert rules.installed() == ()
    (place / "quiet_rules-1.0.dist-info" / "entry_points.txt").unlink()
    (place / "another").mkdir()  # the folder has another time now
    assert rules.installed() == ()


def test_summaries_are_those_of_the_functions() -> None:
    assert rules.summaries() == {name: (rule.__doc__ or "").splitlines()[0] for name, rule in rules.builtin().items()}
