"""The trace of a model whose steps were watched and through which nothing was sent: its parameters, and no measurement."""

from __future__ import annotations

from torch import nn

from gradcheck_health.model.names import named_parameters
from gradcheck_health.records.measurements import InputsTrace, ParameterTrace, TensorStats
from gradcheck_health.records.trace import Trace


def bare_trace(model: nn.Module, seed: int, objective: str) -> Trace:
    """The model's parameters, and nothing that a probe would have measured."""
    unknown = TensorStats(0, 0.0, 0.0)
    parameters = {
        entry.name: ParameterTrace(
            name=entry.name,
            layer=entry.layer,
            kind=entry.kind,
            shape=tuple(entry.tensor.shape),
            dtype=str(entry.tensor.dtype).removeprefix("torch."),
            trainable=entry.tensor.requires_grad,
            value=unknown,
            gradient=None,
            order=0,
            aliases=entry.aliases,
            role=entry.role,
        )
        for entry in named_parameters(model)
    }
    return Trace(
        model=type(model).__name__,
        layers={},
        parameters=parameters,
        activations=(),
        flow=(),
        outputs=(),
        inputs=InputsTrace(f"{objective}'s own", objective, made_up=False, batch=None),
        objective=objective,
        seed=seed,
        training=model.training,
    )
