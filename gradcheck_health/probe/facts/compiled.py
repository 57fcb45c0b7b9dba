"""What compiled code gives beside eager code (it is compiled for a batch when the model is called on it, before the check)."""

from __future__ import annotations

import contextlib

import torch

from gradcheck_health.model.call import call, drew, seed_everything
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.nest import fresh, leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.probe.backward import backward
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.statistics.tensor_stats import plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.compiled import CompiledRun
from gradcheck_health.records.trace import Trace

NOTHING = 1e-3
"""Of the largest gradient: what is smaller is compared with this much of it, since its own rounding may be all that it is."""


def compiled(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `compiled`; empty where nothing is compiled, or not for this batch yet, which would take up to minutes.

    Raises:
        RuntimeError: the same, as torch says it.
    """
    if subject.compiled is None:
        return ()
    # the process is guarded around the whole check, and what has no buffers is in the same state after a pass
    with sandbox(subject.model, process=False):
        eager = _pass(subject, compiled=False)
        if drew(subject.seed):
            return (trace.only(compiled=CompiledRun("", 0.0, 0.0, random=True)),)
        other = None if next(subject.model.buffers(), None) is not None else _pass(subject, compiled=True)
    if other is None:
        with sandbox(subject.model, process=False):
            other = _pass(subject, compiled=True)
    dtypes = [tensor.dtype for tensor in eager.values()]
    rounding = max(torch.finfo(dtype).eps for dtype in dtypes) ** 0.5
    largest = max((float(torch.linalg.vector_norm(one)) for name, one in eager.items() if name != "output"), default=0.0)
    found = {name: _apart(one, other.get(name), NOTHING * largest) for name, one in eager.items()}
    worst = max(found, key=lambda name: found[name])
    return (trace.only(compiled=CompiledRun(worst, found[worst], rounding)),)


def _pass(subject: Subject, *, compiled: bool) -> dict[str, torch.Tensor]:
    """The outputs as one row, and the gradient of each parameter."""
    with contextlib.ExitStack() as stack:
        if compiled:
            # to compile for another batch would take a minute, and say so on standard error
            stack.enter_context(torch.compiler.set_stance("fail_on_recompile"))
            seed_everything(subject.seed)
            for parameter in subject.model.parameters():
                parameter.grad = None
            args, kwargs = fresh(subject.inputs.args), fresh(dict(subject.inputs.kwargs))
            with torch.inference_mode(False), torch.enable_grad():
                output = subject.compiled(*args, **kwargs)  # type: ignore[misc]
        else:
            output = call(subject.model, subject.inputs, subject.seed)
        backward(
            objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed),
            subject.model,
        )
    rows = [values.reshape(-1) for leaf in leaves(output) if (values := plain(leaf.tensor)) is not None]
    kept = {"output": torch.cat([row.to(rows[0].dtype) for row in rows])} if rows else {}
    gradients = {entry.name: entry.tensor.grad for entry in named_parameters(subject.model)}
    kept.update({name: one for name, g in gradients.items() if g is not None and (one := plain(g)) is not None})
    return {name: tensor.detach().clone() for name, tensor in kept.items()}


def _apart(one: torch.Tensor, other: torch.Tensor | None, least: float) -> float:
    if other is None or other.shape != one.shape:
        return 1.0
    size = max(float(torch.linalg.vector_norm(one)), least)
    apart = float(torch.linalg.vector_norm(one - other))
    return apart / size if size else float(apart > 0.0)
