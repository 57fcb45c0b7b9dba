"""A watched run on the page of a report, and the file of a run as a report."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from gradcheck_health import UsageError
from gradcheck_health.cli.commands.report import as_text, read
from gradcheck_health.formats import html
from tests.check.watch.loops import net, plain, watched


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    file = tmp_path_factory.mktemp("run") / "run.jsonl"
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-7)
    health = watched(model, optimizer, lambda tell: plain(model, optimizer, 30, tell), file=file)
    return html.render(health.report), file


@pytest.mark.slow
def test_page_draws_five_curves_and_marks_the_step_of_the_finding(run: tuple[str, Path]) -> None:
    part = run[0].partition("Training over the steps")[2].partition('<div class="part"')[0]
    captions = re.findall(r'<p class="caption">([^<]*)</p>', part)
    assert [caption.partition(" (")[0] for caption in captions] == [
        "norm of the gradient, as applied",
        "how far a step moves the typical weight, of its size",
        "share of units without gradient",
        "norm of the weights",
        "loss",
    ]
    figure = part[part.index("<figure") : part.index("</figure>") + len("</figure>")]
    paths = [node for node in ElementTree.fromstring(figure).iter("path") if node.get("class") == "line"]
    assert [len(re.findall(r"[ML]", node.get("d") or "")) for node in paths] == [30] * 5
    assert f'd="M{1000 * 9 / 29:.1f} 120V1000"' in figure  # found at step 10 of 1 to 30
    assert "1 tiny-update" in part


@pytest.mark.slow
def test_file_of_a_run_is_a_report(run: tuple[str, Path], tmp_path: Path) -> None:
    reports, _, code = read([run[1]])
    assert code == 0
    assert "tiny-update" in as_text(reports, [], 80, blocks=False)
    page = html.render(reports[0])
    assert "Training over the steps" in page
    measured = page.partition("What was measured, and what was not")[2]
    assert "30 steps of SGD, 30 measured" in measured
    assert "0 of 0" not in measured  # no pass was looked at


def test_file_of_a_run_that_was_killed_is_a_report(run: tuple[str, Path], tmp_path: Path) -> None:
    cut = tmp_path / "killed.jsonl"
    cut.write_text("\n".join(run[1].read_text().splitlines()[:20]) + '\n{"track": 0, "mom')
    reports, _, _ = read([cut])
    assert "18 steps of SGD, 18 measured" in as_text(reports, [], 120, blocks=False)
    assert {"tiny-update", "diverging-loss"} <= set(reports[0].rules)  # whether or not they found something


def test_file_without_a_whole_history_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text('{"history": 3}\n')
    with pytest.raises(UsageError, match=r"other\.jsonl"):
        read([file])
