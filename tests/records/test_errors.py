"""Exit codes, and errors whose remedy is Python for one reader and options for another."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from gradcheck_health.records.errors import (
    ExitCode,
    GradhealthError,
    InputInferenceError,
    InputsError,
    ModelError,
    NothingToCheckError,
    UsageError,
)

DOCS = Path(__file__).parents[2] / "docs"


def test_exit_codes_are_the_numbers_that_nine_files_held() -> None:
    assert [*map(int, ExitCode)] == [0, 1, 2, 3, 4, 130, 141]
    assert ExitCode.INTERRUPTED == 128 + signal.SIGINT
    assert ExitCode.READER_GONE == 128 + signal.SIGPIPE
    assert {error.exit_code for error in (UsageError, NothingToCheckError, InputsError)} == {2}
    assert {error.exit_code for error in (GradhealthError, ModelError, InputInferenceError)} == {3}


def test_exit_code_is_written_as_its_number_everywhere() -> None:
    assert f"{ExitCode.STOPPED} {ExitCode.STOPPED!s} {json.dumps([ExitCode.STOPPED])}" == "4 4 [4]"


def test_documentation_lists_every_exit_code() -> None:
    (table,) = re.findall(r"\| exit code \| \|\n\|---\|---\|\n((?:\|.*\n)+)", (DOCS / "cli.md").read_text())
    assert [*map(int, re.findall(r"^\| `?(\d+)`? ", table, re.MULTILINE))] == [*map(int, ExitCode)]
