"""`torchrun ... -m gradcheck_health check`: one verdict, one writer, and an end of every run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradcheck_health.records.launch import launched, writes
from tests.support.ranks import launch

MODELS = str(Path(__file__).with_name("models.py"))


def test_one_verdict_and_one_writer(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    models = [f"{MODELS}:{name}" for name in ("sound", "sick")]
    first, second = launch(["-m", "gradcheck_health", "check", *models, "-o", str(out), "--timeout", "60"], cwd=tmp_path)
    assert (first.code, second.code) == (1, 1), first.err + second.err
    assert "2 checked: 1 healthy, 1 unhealthy" in first.out
    assert "vanishing-gradient in Sequential (1 error)" in first.out
    assert second.out == second.err == ""
    reports = json.loads(out.read_text())["reports"]
    assert {name.partition(".")[2] for report in reports for name in report["trace"]["parameters"]} == {"weight", "bias"}


@pytest.mark.slow
def test_example_is_checked_on_its_shards() -> None:
    root = Path(__file__).parents[3]
    first, second = launch(["-m", "gradcheck_health", "check", "examples/distributed.py:build", "--timeout", "60"], cwd=root)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert "Sequential: no unhealthy gradient found" in first.out and second.out == ""


@pytest.mark.slow  # each imports torch four times
@pytest.mark.parametrize(
    ("fault", "code", "why"),
    [
        ("raises", 3, "rank 1 failed: could not make up inputs for Fault.forward(x)"),
        ("dies", 4, "rank 1 did not come within 10 s"),
        ("stalls", 4, "rank 1 did not come within 10 s"),
    ],
)
def test_a_rank_that_fails_ends_all(fault: str, code: int, why: str, tmp_path: Path) -> None:
    command = ["-m", "gradcheck_health", "check", f"{MODELS}:{fault}", "--timeout", "20"]
    ended = launch(command, cwd=tmp_path)
    assert [one.code for one in ended] == [code, code], [one.err for one in ended]
    assert why in ended[0].err
    assert max(one.seconds for one in ended) < 60  # of which the imports of torch take most


def test_without_torchrun_there_is_no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched() is None and writes()  # a cluster sets them for every process, torchrun's own or not
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launched() == (1, 2) and not writes()
