"""Turn an exception into wishes: of the operation that raised, of the layer around it, or of the failing Python statement."""

from __future__ import annotations

import contextlib
import os
import traceback
from typing import Any

from torch import nn

from gradcheck_health.inputs.observation.failed_operation import Site
from gradcheck_health.inputs.observation.tracer import Tracer
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.wants.operations import operation_wants
from gradcheck_health.inputs.wants.statements import python_wants
from gradcheck_health.inputs.wants.want import Want
from gradcheck_health.model.source.frames import receiver


def explain(plan: Plan, tracer: Tracer, error: Exception, info: ModelInfo) -> tuple[list[Want], str]:
    """Wishes, and the place in words."""
    failure = tracer.failure
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    wants: list[Want] = []
    site: Site = ("", "", 0)
    if failure is not None and failure.error is error:
        wants, site = operation_wants(failure), failure.site
        if tracer.emptied is not None and tracer.emptied is not failure:  # what came of it lacks what the slice left out
            wants = wants + operation_wants(tracer.emptied)
    elif frames:
        site = (type(error).__name__, frames[-1].f_code.co_filename, frames[-1].f_lineno)
    # reading a model's own objects may raise anything: the wishes of the operation stand all the same
    with contextlib.suppress(Exception):
        wants = wants + python_wants(plan, tracer, error, info, bool(wants))
    return wants, _place(site, frames, info.model)


def _place(site: Site, frames: list[Any], model: nn.Module) -> str:
    """`encoder.reshape, model.py:412`: the innermost module, the operation, the line."""
    names = {id(module): name for name, module in model.named_modules()}
    module = ""
    for frame in frames:
        owner = receiver(frame)
        if isinstance(owner, nn.Module) and id(owner) in names:
            module = names[id(owner)]
    operation = ".".join(part for part in (module, site[0].strip("_")) if part)
    return f"{operation}, {os.path.basename(site[1])}:{site[2]}" if site[1] else operation
