"""The same ratios on a GPU, and how often a probe waits for it."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from benchmarks.speed.clock import median_ms, ratio, turns
from benchmarks.speed.ratios import step, subject_of
from benchmarks.speed.sound import gpt, mlp, resnet, vit
from gradcheck_health import check_gradients
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import probe

LARGE = {
    "large MLP": lambda: mlp(4096, 8, 2048),
    "ResNet": lambda: resnet(16, 128, 128),
    "ViT": lambda: vit(12, 384, 128),
    "GPT": lambda: gpt(12, 512, 16, 256, 8000),
}
"""Of the size that a GPU is used for."""


def gpu(turns_each: int) -> list[dict[str, Any]] | None:
    """None where there is none."""
    if not torch.cuda.is_available():
        print("GPU: not measured, there is none here")
        return None
    rows = []
    for name, build in LARGE.items():
        torch.manual_seed(0)
        model, x = build()
        model, x = model.cuda(), x.cuda()
        subject = subject_of(model, x)
        with sandbox(model):
            runs = {"bare": lambda s=subject: step(s), "probe": lambda s=subject: probe(s)}
            timed = turns({**runs, "whole": lambda m=model, x=x: check_gradients(m, x)}, turns_each)
            row = {"model": name, "bare_ms": median_ms(timed, "bare"), "probe": ratio(timed, "probe")}
            rows.append({**row, "whole": ratio(timed, "whole"), "waits": waits(lambda s=subject: probe(s))})
        print(rows[-1], flush=True)
    return rows


def waits(run: Any) -> int:
    """Synchronisations of the host with the GPU, as torch itself reports them."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in told)
