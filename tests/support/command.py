"""The command line in this process: its workers are forks of one process, so that torch is imported once for all commands.

How a process of its own starts, writes and ends is shown in `tests/cli`: test_cli.py, test_streams.py, test_surroundings.py.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradcheck_health import cli


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def gradhealth(*arguments: str, folder: Path | None = None, **environment: str) -> Done:
    """`gradhealth ARGUMENTS` in that folder, with these variables of the environment beside the others."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if folder is not None:
            patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
    return Done(int(caught.value.code or 0), out.getvalue(), err.getvalue())
