"""Every pytest run of every user imports this package and its plugin: neither may bring a heavy library."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import gradcheck_health

HEAVY = ("torch", "numpy", "rich", "rich_click", "pydantic", "networkx", "yaml")


PLUGIN = """
import importlib, gradcheck_health.pytest_plugin as plugin
for part in plugin.PARTS: importlib.import_module(f"{plugin.__name__}.{part}")
"""
"""What pytest loads at every start of every user."""

PYTEST = """
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
import pytest; pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "-p", "gradcheck_health.pytest_plugin"])
"""
"""A run without what other packages plug in."""
QUIETLY = "import os, contextlib\nwith contextlib.redirect_stdout(open(os.devnull, 'w')):\n"


def modules_after(code: str, folder: Path) -> set[str]:
    """What a fresh interpreter has imported after it ran the code."""
    program = f"{code}\nimport sys\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(gradcheck_health.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=folder, env=environment
    )
    return set(done.stdout.split())


def ours_after(code: str, folder: Path) -> set[str]:
    """The modules of this package that a fresh interpreter holds after it ran the code."""
    found = modules_after(code, folder)
    return {name.removeprefix("gradcheck_health.") for name in found if name.startswith("gradcheck_health.")}


def heavy_after(code: str, folder: Path) -> set[str]:
    """The heavy libraries that a fresh interpreter holds after it ran the code."""
    return modules_after(code, folder) & set(HEAVY)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import gradcheck_health; dir(gradcheck_health)",
        PLUGIN,
        "import gradcheck_health.rules as rules; assert rules.names()",
        "import gradcheck_health.records.report, gradcheck_health.records.trace",
        PYTEST,
    ],
)
def test_import_is_light(code: str, tmp_path: Path) -> None:
    assert heavy_after(QUIETLY + textwrap.indent(code, " "), tmp_path) == set()


@pytest.mark.slow
def test_plugin_loads_itself_and_the_catalogue_of_settings_only(tmp_path: Path) -> None:
    """Other records are pages of dataclasses, which cost a millisecond each: they wait for the first model that is checked."""
    loaded = ours_after(PLUGIN, tmp_path)
    assert {name for name in loaded if not name.startswith("pytest_plugin")} == {
        *("settings", "settings.catalogue", "settings.config", "settings.setting"),
        *("records", "records.severity"),
    }


@pytest.mark.slow
def test_help_loads_what_the_options_need_only(tmp_path: Path) -> None:
    program = "import sys\nfrom gradcheck_health.cli import main\ntry: main(['check', '--help'])\nexcept SystemExit: print()"
    loaded = {
        name.removeprefix("gradcheck_health.") for name in modules_after(program, tmp_path) if "gradcheck_health." in name
    }
    assert {name for name in loaded if name.startswith("cli.")} == {"cli._options", "cli._streams", "cli.check"}
    assert {name for name in loaded if not name.startswith("cli")} == {
        *("settings", "settings.catalogue", "settings.config", "settings.setting"),
        *("records", "records.errors", "records.severity", "records.version"),
    }


@pytest.mark.slow
def test_check_can_fail(tmp_path: Path) -> None:
    """The part that measures needs torch: this is what the test above would see if the package imported it at once."""
    assert "torch" in heavy_after("import gradcheck_health.probe", tmp_path)


def test_every_public_name_can_be_had() -> None:
    for name in gradcheck_health.__all__:
        assert getattr(gradcheck_health, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'chek_gradients'"):
        gradcheck_health.chek_gradients  # noqa: B018 - the access is the test
