"""Short trainings of the benchmark: what each way of training shows, and that watching changes nothing."""

from __future__ import annotations

import pytest
import torch

from benchmarks.watching.__main__ import _end, run
from benchmarks.watching.sick.table import SICK
from benchmarks.watching.sound.table import SOUND

QUIET = (
    "mlp-rprop", "lbfgs-wolfe", "fp16-overflows-first", "fp16-fused", "fp16-clipped", "accumulated", "sam", "two-optimizers",
    "two-backwards", "optimizer-in-backward", "gan", "wgan", "reinforce", "moe-top-1", "lora", "embedding-sparse", "one-cycle",
)  # fmt: skip
FOUND = {
    "cleared-before-step-mlp": "no-gradient-at-step",
    "step-never-called-mlp": "discarded-gradient",
    "scaler-always-skips": "discarded-gradient",
    "not-cleared-mlp": "uncleared-gradient",
    "stale-mlp": "unoptimized-parameter",
    "layer-forgotten": "unoptimized-parameter",
    "layer-unused": "missing-gradient",
    "layer-detached": "cut-gradient",
    "reloaded": "undone-update",
    "lr-0-mlp": "zero-learning-rate",
    "decay-50-mlp": "shrinking-weight",
    "dead-layer": "dead-unit",
    "bf16-swallowed": "ineffective-step",
    "deep-sigmoid": "vanishing-gradient",
    "wrong-sign": "unbounded-loss",
    "past-the-scaler": "nonfinite-gradient",
    "lr-1-adam-mlp": "diverging-loss",
    "saturated-output": "huge-update",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUIET)
def test_sound_run_is_quiet(name: str) -> None:
    found, _ = run(SOUND[name], 0, 26)
    assert [(step, one.rule, one.message) for step, one in found] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rule"), FOUND.items())
def test_sick_run_is_noticed(name: str, rule: str) -> None:
    found, _ = run(SICK[name], 0, 32)
    assert rule in {one.rule for _, one in found if str(one.severity) != "note"}


@pytest.mark.parametrize("told", [True, False])
def test_step_that_never_comes_is_dated_by_the_backward_passes(told: bool) -> None:
    found, _ = run(SICK["step-never-called-mlp"], 0, 32, told=told)
    assert [(step, one.rule) for step, one in found] == [(21, "discarded-gradient")]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*QUIET, "layer-unused", "deep-sigmoid", "lr-1e-9-adam-lm"])
def test_watched_run_is_the_same_bit_for_bit(name: str) -> None:
    make = {**SOUND, **SICK}[name]
    (bare, losses, state), (weights, told, after) = _end(make, 13, False), _end(make, 13, True)
    assert losses == told
    assert all(torch.equal(a, b) for a, b in zip(bare, weights, strict=True))
    assert torch.equal(state, after)
