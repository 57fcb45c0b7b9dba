"""Fills the parts of README.md and docs/*.md that the code says first: rules, commands, settings, messages.

    python docs/generate.py            writes what stands between <!-- generated: name --> and <!-- end -->
    python docs/generate.py --check    writes nothing; exit code 1 and a diff where a page is stale

Measured numbers may differ in their last digits from one machine to the next: `--check` does not compare those in messages.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this checkout, whichever is installed

from docs.parts import ROOT, speed
from docs.parts.coded import command_pages, functions, remedy_table, report_tables, rule_pages, rule_table, settings_table
from docs.parts.gates import gates
from docs.parts.measured import borderline, remedies, verdict_flips
from docs.parts.printed import drawn, example, failure, healthy, pytest_failure, pytest_options

PART = re.compile(r"(?<=<!-- generated: )(?P<name>[\w-]+)(?P<open> -->\n)(?P<body>(?:(?!<!-- ).)*)(?=<!-- end -->)", re.DOTALL)

EXACT = {
    "verdict-flips": verdict_flips,
    "borderline": borderline,
    "gates": gates,
    "example": example,
    "rules": rule_table,
    "remedies": remedy_table,
    "remedies-measured": remedies,
    "rule-pages": rule_pages,
    "commands": command_pages,
    "settings": settings_table,
    "functions": functions,
    "pytest-options": pytest_options,
    "report-tables": report_tables,
    **speed.PARTS,
}
MEASURED = {"failure": failure, "healthy": healthy, "drawn": drawn, "pytest-failure": pytest_failure}


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def without_numbers(text: str) -> str:
    """A message as `--check` compares it: a number is a number, and where a line breaks depends on the numbers in it."""
    return " ".join(re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "N", text).split())


def refreshed(text: str, make: Callable[[str], str]) -> str:
    """The page with its parts made anew; a measured part that differs in nothing but numbers stays as it is."""

    def part(found: re.Match[str]) -> str:
        name, old = found["name"], found["body"]
        fresh = make(name) + "\n"
        if name in MEASURED and without_numbers(old) == without_numbers(fresh):
            fresh = old
        return name + found["open"] + fresh

    return PART.sub(part, text)


@cache
def make_part(name: str) -> str:
    if name not in EXACT and name not in MEASURED:
        raise SystemExit(f"no part is called {name!r}: known are {', '.join([*EXACT, *MEASURED])}")
    return {**EXACT, **MEASURED}[name]()


def main(check: bool) -> int:
    outdated = []
    for path in pages():
        old = path.read_text()
        fresh = refreshed(old, make_part)
        if fresh != old:
            outdated.append(str(path.relative_to(ROOT)))
            print("".join(difflib.unified_diff(old.splitlines(True), fresh.splitlines(True), outdated[-1], "fresh")), end="")
            if not check:
                path.write_text(fresh)
    if check and outdated:
        print(f"stale: {', '.join(outdated)}: run python docs/generate.py", file=sys.stderr)
    return 1 if check and outdated else 0


if __name__ == "__main__":
    raise SystemExit(main(check="--check" in sys.argv[1:]))
