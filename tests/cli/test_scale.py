"""`gradhealth scale`: tables, files, skipped sizes, several processes, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import gradcheck_health
from gradcheck_health import Report
from tests.support.command import Done, gradhealth

FILE = """
from torch import nn

def build(depth=2, width=16, heads=4):
    assert width % heads == 0, f"{width} is no multiple of {heads}"
    blocks = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.Sigmoid())]
    return nn.Sequential(*blocks, nn.Linear(width, 3))

def fixed():
    return nn.Linear(4, 3)
"""
OUTPUTS = ("-o", "out.json", "-o", "out.html", "-o", "out.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("scale")
    (made / "net.py").write_text(FILE)
    return made


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """Depths and widths, one of which cannot be built, two processes at once."""
    sizes = ("--depth", "1,2,3", "--width", "16,18,32")
    return gradhealth("scale", "net.py:build", *sizes, "--rounds", "2", "-j", "2", *OUTPUTS, folder=folder)


@pytest.mark.slow
def test_screen_has_the_sizes_the_rate_the_limit_and_the_check(done: Done) -> None:
    text = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stderr
    assert "depth width parameters FLOPs time memory flow" in text
    assert "half of the gradient is lost every" in text and "layers (95 %:" in text
    assert "which was not fitted: predicted" in text and "3 steps of Adam(lr=0.001), 2 seeds" in text
    assert "left out: build() raised AssertionError: 18 is no multiple of 4" in text
    assert "not judged: the width is not judged: 2 widths and 2 seeds, it takes 4 and 4 of them" in text
    assert [line for line in done.stdout.splitlines() if len(line) > 80 and not line.startswith("repeat:")] == []
    assert "repeat: gradhealth scale net.py:build --seed 0 --depth 1,2,3 --width 16,18,32 --rounds 2" in text


@pytest.mark.slow
def test_files_hold_the_same(done: Done, folder: Path) -> None:
    document = json.loads((folder / "out.json").read_text())
    schema = Path(gradcheck_health.__file__).parent / "formats" / "report.schema.json"
    jsonschema.validate(document, json.loads(schema.read_text()))
    report = Report.from_dict(document["reports"][0])
    scale = report.trace.scale
    assert scale is not None and scale.fit is not None and scale.fit.check is not None
    assert [(one.depth, one.width) for one in scale.points] == [
        (1, 16),
        (2, 16),
        (3, 16),
        (1, 18),
        (1, 32),
        (scale.fit.check.depth, 16),
    ]
    assert [finding.rule for finding in report.findings] == ["depth-limited"]
    assert scale.widths == (16, 32) and scale.seeds == 2
    page = (folder / "out.html").read_text()
    assert "Depth and width" in page and page.count('<svg class="plot main"') == 3
    assert "depth  width  parameters" in (folder / "out.md").read_text()


@pytest.mark.slow
def test_warning_fails_where_that_is_asked_for(folder: Path) -> None:
    sizes = ("--depth", "1,2,3", "--rounds", "2", "--select", "depth-limited")
    assert gradhealth("scale", "net.py:build", *sizes, "--fail-on", "warning", folder=folder).returncode == 1
    kept = ("--ignore", "depth-limited=it stays small")
    assert gradhealth("scale", "net.py:build", *sizes, "--fail-on", "warning", *kept, folder=folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.py:build",), "error: a sweep needs depths, widths or both"),
        (("net.py:build", "--depth", "2"), "error: depth: got 2 alone; at least two are needed"),
        (("net.py:build", "--depth", "2,x"), "got 'x'; allowed: whole numbers"),
        (("net.py:fixed", "--depth", "2,4"), "fixed has no parameter for the depth"),
        (("net.py:build", "--depth", "2,4", "--depth-name", "dept"), "takes no argument 'dept' (did you mean 'depth'?)"),
        (("net.py:nothing", "--depth", "2,4"), "has no 'nothing'"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str, folder: Path) -> None:
    done = gradhealth("scale", *arguments, folder=folder)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
