"""Runs on every rank: cures of a sick model, for which one rank has less time than the other."""

from __future__ import annotations

import torch
import torch.distributed as dist

from gradcheck_health import check_gradients
from gradcheck_health.check.remedies import budget
from tests.check.distributed.nets import vanishing
from tests.check.distributed.spread import fsdp


def tried() -> list[list[str]]:
    """Per cure its name, its outcome and why, as this rank has them."""
    if dist.get_rank() == 1:
        budget.CHECKS = 0.2
    torch.manual_seed(0)
    report = check_gradients(fsdp(vanishing()), remedies=True)
    return [[one.remedy, one.outcome, one.why] for one in report.remedies]
