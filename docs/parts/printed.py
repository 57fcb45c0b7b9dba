"""What commands print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from docs.parts import ROOT


def run(*command: str, code: int = 0, holds: str = "", cwd: Path = ROOT) -> str:
    """What a command prints, in 80 columns and without colour.

    Args:
        code: the exit code that it has to end with.
        holds: text that has to stand in what it prints: a traceback must not become documentation.
    """
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80", "TERM": "dumb", "PYTHONPATH": str(ROOT)}
    for name in ("FORCE_COLOR", "CI", "GITHUB_ACTIONS", "GRADHEALTH_CI", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    text = done.stdout if done.stdout.strip() else done.stderr
    if done.returncode != code or holds not in text:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode} (allowed: {code}) and printed:\n{text}")
    return text


def fenced(text: str, language: str = "") -> str:
    return f"```{language}\n{text.strip()}\n```"


def example() -> str:
    """examples/sick.py without its docstring, and with the call where a script would have it."""
    code = (ROOT / "examples" / "sick.py").read_text().partition('"""\n\n')[2]
    return fenced(code.replace('if __name__ == "__main__":\n    ', ""), "python")


def failure() -> str:
    """The message that the example ends with; the traceback above it is Python's."""
    name = "gradcheck_health.UnhealthyGradientsError: "
    text = run("examples/sick.py", code=1, holds=f"\n{name}")
    return fenced(text[text.index(f"\n{name}") :])


def healthy() -> str:
    return fenced("$ gradhealth check examples/sound.py\n" + run("-m", "gradcheck_health", "check", "examples/sound.py"))


def drawn() -> str:
    """The picture of the sick example's flow in the terminal."""
    text = run("-m", "gradcheck_health", "check", "examples/sick.py", code=1, holds="log scale:")
    return fenced(text[text.index("gradient norm at") :].partition("\n\n")[0])


def run_pytest(*arguments: str, **expected: Any) -> str:
    # in a checkout that is not installed nothing announces the plugin
    plugin = () if entry_points(group="pytest11", name="gradhealth") else ("-p", "gradcheck_health.pytest_plugin")
    return run("-m", "pytest", "-p", "no:cacheprovider", *plugin, *arguments, **expected)


def pytest_failure() -> str:
    """What pytest says about a test that hands the sick example to the fixture."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "examples" / "sick.py", folder)
        test = Path(folder) / "test_net.py"
        test.write_text("from sick import Net\n\ndef test_net(gradhealth):\n    gradhealth(Net())\n")
        text = run_pytest("-q", test.name, code=1, holds="Failed: missing-gradient", cwd=Path(folder))
    return fenced(re.sub(r"\n.* failed in .*", "", text[text.index("\n____") :]))


def pytest_options() -> str:
    """The plugin's group out of `pytest --help`."""
    text = run_pytest("--help")
    return fenced(text[text.index("gradient health (") :].partition("\n\n")[0])
