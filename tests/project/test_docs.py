"""The documentation says what the code says: generated parts are fresh, links lead somewhere, commands exist."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gradcheck_health
from docs.parts import coded, printed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_generated_parts_are_fresh(generate: ModuleType, path: Path) -> None:
    text = path.read_text()
    assert generate.refreshed(text, generate.make_part) == text, "run python docs/generate.py"


def test_every_part_stands_in_a_page(generate: ModuleType) -> None:
    found = [part["name"] for path in PAGES for part in generate.PART.finditer(path.read_text())]
    assert sorted(found) == sorted([*generate.EXACT, *generate.MEASURED])


def page(name: str, body: str) -> str:
    return f"# Title\n\n<!-- generated: {name} -->\n{body}\n<!-- end -->\n\nprose stays\n"


@pytest.mark.parametrize(
    ("name", "old", "fresh", "same"),
    [
        ("rules", "max 3", "max 3", True),
        ("rules", "max 3", "max 4", False),
        ("failure", "shrinks 3.1e-12 x, seed 0", "shrinks 2.9e-12 x, seed 0", True),
        ("failure", "shrinks 3.1e-12 x\nover 8 blocks", "shrinks 0.002 x over\n10 blocks", True),
        ("failure", "shrinks 3.1e-12 x", "grows 3.1e-12 x", False),
    ],
)
def test_stale_part_is_seen(generate: ModuleType, name: str, old: str, fresh: str, same: bool) -> None:
    refreshed = generate.refreshed(page(name, old), lambda _: fresh)
    assert refreshed == page(name, old if same else fresh)


def test_unknown_part_is_an_error(generate: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no part is called 'rulez'"):
        generate.refreshed(page("rulez", ""), generate.make_part)


@pytest.mark.parametrize("expected", [{}, {"code": 1, "holds": "UnhealthyGradientsError"}])
def test_traceback_is_no_documentation(expected: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="ImportError: planted"):
        printed.run("-c", "raise ImportError('planted')", **expected)


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path, text: str) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        if file.startswith("https:"):
            continue
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path, path.read_text()) == []


def test_broken_link_is_seen() -> None:
    text = "[a](nowhere.md) [b](README.md#no-such-heading) [c](README.md#try-it)"
    assert broken_links(ROOT / "README.md", text) == ["nowhere.md", "README.md#no-such-heading"]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_python_blocks_parse_and_import_what_exists(path: Path) -> None:
    for block in blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "gradcheck_health":
                assert {alias.name for alias in node.names} <= set(gradcheck_health.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_commands_and_options_exist(path: Path) -> None:
    text = "\n".join(re.findall(r"`[^`]+`|^```\n.*?^```", path.read_text(), re.MULTILINE | re.DOTALL))
    known = set(coded.commands())
    named = set(re.findall(r"gradhealth ([a-z]+)", text))
    assert named <= {name.split()[0] for name in known}
    helps = coded.command_pages()
    for options in re.findall(r"gradhealth [a-z]+ [^\n`]*", text):
        assert {option for option in re.findall(r"(?<!\S)--[a-z-]+", options) if option not in helps} == set()
