"""Every pytest run of every user imports this package and its plugin: neither may bring a heavy library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradcheck_health

HEAVY = ("torch", "numpy", "rich", "rich_click", "pydantic", "networkx", "yaml")


def heavy_after(code: str, folder: Path) -> set[str]:
    """The heavy libraries that a fresh interpreter holds after it ran the code."""
    program = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(gradcheck_health.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=folder, env=environment
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import gradcheck_health; dir(gradcheck_health)",
        "import gradcheck_health.pytest_plugin",
        "import gradcheck_health.rules as rules; assert rules.names()",
        "import gradcheck_health.records.report, gradcheck_health.records.trace",
        "import pytest; pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider'])",
    ],
)
def test_import_is_light(code: str, tmp_path: Path) -> None:
    assert (
        heavy_after(f"import os, contextlib\nwith contextlib.redirect_stdout(open(os.devnull, 'w')):\n {code}", tmp_path)
        == set()
    )


def test_check_can_fail(tmp_path: Path) -> None:
    """The part that measures needs torch: this is what the test above would see if the package imported it at once."""
    assert "torch" in heavy_after("import gradcheck_health.probe", tmp_path)


def test_every_public_name_can_be_had() -> None:
    for name in gradcheck_health.__all__:
        assert getattr(gradcheck_health, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'chek_gradients'"):
        gradcheck_health.chek_gradients  # noqa: B018 - the access is the test
