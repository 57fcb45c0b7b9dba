"""`torchrun ... -m gradcheck_health check`: one verdict, one writer, and an end of every run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradcheck_health.records.launch import launched, writes
from tests.support.ranks import launch

MODELS = str(Path(__file__).with_name("models.py"))


@pytest.mark.slow
def test_one_verdict_and_one_writer(tmp_path: Path) -> None:
    """Also of the example, which is checked on its shards."""
    out = tmp_path / "out.json"
    models = [f"{MODELS}:sound", f"{MODELS}:sick", str(Path(__file__).parents[3] / "examples/distributed.py:build")]
    first, second = launch(["-m", "gradcheck_health", "check", *models, "-o", str(out), "--timeout", "60"], cwd=tmp_path)
    assert (first.code, second.code) == (1, 1), first.err + second.err
    assert "3 checked: 2 healthy, 1 unhealthy" in first.out
    assert "vanishing-gradient in Sequential (1 error)" in first.out
    assert f"repeat:  torchrun --nproc-per-node 2 -m gradcheck_health check {MODELS}:sick --seed 0" in first.out
    assert second.out == second.err == ""
    reports = json.loads(out.read_text())["reports"]
    assert {name.partition(".")[2] for report in reports for name in report["trace"]["parameters"]} == {"weight", "bias"}


WHY = {
    "raises": "rank 1 failed at forward, and not every rank did: ValueError: here only",
    "dies": "rank 1 did not come within 12 s",
    "stalls": "rank 1 did not come within 12 s",
}


@pytest.mark.slow
def test_a_rank_that_fails_ends_all_and_the_next_model_is_checked(tmp_path: Path) -> None:
    models = [f"{MODELS}:{name}" for name in (*WHY, "sound")]
    ended = launch(["-m", "gradcheck_health", "check", *models, "--timeout", "24"], cwd=tmp_path)
    assert [one.code for one in ended] == [4, 4], [one.err for one in ended]
    for name, why in WHY.items():
        assert f"{MODELS}:{name}: {why}" in ended[0].err
    assert "1 checked: 1 healthy, 0 unhealthy, 3 not checked" in ended[0].out
    assert max(one.seconds for one in ended) < 90  # of which the imports of torch take most


def test_without_torchrun_there_is_no_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched() is None and writes()  # a cluster sets them for every process, torchrun's own or not
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launched() == (1, 2) and not writes()
