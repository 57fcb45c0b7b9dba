"""Exit codes, and errors whose remedy is Python for one reader and options for another."""

from __future__ import annotations

import ast
import json
import pickle
import re
import shlex
import signal
from pathlib import Path

import pytest

from gradcheck_health.records.errors import (
    ExitCode,
    GradhealthError,
    InputInferenceError,
    InputsError,
    ModelError,
    NothingToCheckError,
    Remedy,
    UsageError,
    as_options,
    in_python,
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


SPECS = {"x": "f32[B,3,32,32]", "names": '["a", "b"]', "mask": "bool[B,7] = it's"}
ERRORS = [
    GradhealthError(),
    UsageError("no loss 'Mes' in torch.nn"),
    InputsError("got 3 positional values", "inputs"),
    InputsError("size 0 in 'f32[0]'", "inputs['x']"),
    InputsError("size 0 in 'f32[0]'", "inputs['x']['deep']"),
    InputsError("size 0 in 'f32[0]'", "--input x"),
    InputsError("Net cannot run on f32[2]\n  failed at the call", "inputs", Remedy("this runs", SPECS)),
    InputInferenceError("could not make up inputs", remedy=Remedy("give them", SPECS, "\n      (or a method)")),
]


def by_rewriting(error: GradhealthError) -> str:
    """How it was done before: pieces of the finished text are replaced."""
    text = str(error)
    if error.specs:
        text = text.replace(in_python(error.specs), as_options(error.specs))
    return re.sub(r"^inputs(?:\['(\w+)'\])?:", lambda found: f"--input {found[1]}:" if found[1] else "--input:", text)


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_message_for_the_command_line_is_the_one_that_rewriting_gave(error: GradhealthError) -> None:
    assert error.on_command_line() == by_rewriting(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.on_command_line(), again.specs) == (str(error), error.on_command_line(), error.specs)


def test_remedy_stands_in_the_message_in_the_reader_s_notation() -> None:
    error = InputsError("Net cannot run on f32[2]", "inputs['x']", Remedy("this runs", SPECS, "\n  (once)"))
    assert str(error) == (
        "inputs['x']: Net cannot run on f32[2]\n  this runs: assert_gradients_healthy(model, inputs={"
        '"x": "f32[B,3,32,32]", "names": \'["a", "b"]\', "mask": "bool[B,7] = it\'s"})\n  (once)'
    )
    assert error.on_command_line() == (
        "--input x: Net cannot run on f32[2]\n  this runs: --input 'x=f32[B,3,32,32]' --input 'names=[\"a\", \"b\"]' "
        "--input 'mask=bool[B,7] = it'\"'\"'s'\n  (once)"
    )
    words = shlex.split(as_options(SPECS))
    assert dict(word.split("=", 1) for word in words[1::2]) == SPECS
    assert ast.literal_eval(in_python(SPECS).partition("inputs=")[2].removesuffix(")")) == SPECS
