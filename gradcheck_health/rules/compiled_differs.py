"""Compiled code that computes something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from gradcheck_health.records.training import Training


def compiled_differs(trace: Trace, *, max_difference: float | None = None) -> Iterator[Finding | Need]:
    """A compiled model gives other outputs or gradients than the same model without torch.compile.

    What it does: runs a model that was handed over compiled, once as compiled and once eagerly, on the same batch from the same
    seed, and compares the outputs and the gradient of each parameter.

    Why it is bad: what is trained is not the model that was written, checked and tested, and nothing says so.

    How it is measured: the norm of the difference over the norm of what eager code gives, at most the square root of the
    machine epsilon (3e-4 in float32, 0.09 in bfloat16), which is far above rounding. A gradient below a thousandth of the
    largest is compared with that much of it. Only where the code is compiled for this batch already: the model was called on
    it before, and the batch is given to the check. A model that draws at random is not compared: compiled code draws others.

    When it is legitimate: a backend that lowers the precision on purpose.

    How to fix: torch.compile(model, backend="aot_eager") tells whether the backend is to blame; side effects of Python in
    forward are captured once, so move them out of it.

    How to silence: ignore={"compiled-differs": "the reason"}, or max_difference= for what you accept.
    """
    if not trace.compiles or trace.backward_error:
        return
    if "compiled" not in trace.facts:
        yield Need("compiled")
        return
    for seen in trace.facts["compiled"]:
        run = seen.compiled
        if run is None or run.random:
            continue
        bound = run.rounding if max_difference is None else max_difference
        if run.difference > bound:
            what = "output" if run.name == "output" else "gradient"
            yield Finding(
                rule="compiled-differs",
                severity=Severity.ERROR,
                message=(
                    f"compiled code gives another {what}: it differs by {run.difference:.2g} of its norm "
                    f"(at most {bound:.2g} allowed)"
                ),
                places=(Place("" if run.name == "output" else run.name, trace.model if run.name == "output" else ""),),
                details=(("help", 'torch.compile(model, backend="aot_eager") tells whether the backend is to blame'),),
                got=run.difference,
                bound=bound,
            )


def healthy() -> Training:
    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    layers = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)
    model = torch.compile(nn.Sequential(*layers), backend="eager")
    x = torch.randn(32, 8)
    model(x)
    return Training(model, x)


def sick() -> Training:
    from typing import Any

    import torch
    from torch import nn

    from gradcheck_health.records.training import Training

    def wrong(graph: Any, inputs: Any) -> Any:
        """A backend that rounds where nobody asked for it."""
        return lambda *args: tuple(one * 1.01 for one in graph(*args))

    layers = nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)
    model = torch.compile(nn.Sequential(*layers), backend=wrong)
    x = torch.randn(32, 8)
    model(x)
    return Training(model, x)
