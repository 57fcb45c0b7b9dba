"""What the user declares about a model, where the model does not show it."""

from __future__ import annotations

from dataclasses import dataclass

AUTO = "auto"
"""`batch_axis`: found from the inputs, or: there is no batch axis."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The declarations among the settings."""

    causal: bool | None = None
    """The output at a time step must not depend on later ones; None where nothing was said."""
    batch_axis: int | None = None
    """The axis of the inputs along which the samples lie; None where nothing was said, or where there is none."""
    batched: bool | None = None
    """False: there is no batch axis. True: `batch_axis` says which. None: nothing was said."""
    optimizer: str = "sgd"
    """sgd or adam: what the model is trained with."""
    edge_inputs: bool = False
    """Rows of zeros, equal rows, fully masked ones and single steps do come: the gradient has to be finite under them."""

    @classmethod
    def of(cls, causal: bool | None, batch_axis: int | str, optimizer: str, *, edge_inputs: bool) -> Declared:
        """From settings, where `batch_axis` is a number, "none" or "auto"."""
        axis = batch_axis if isinstance(batch_axis, int) else None
        return cls(causal, axis, None if batch_axis == AUTO else axis is not None, optimizer, edge_inputs)


UNDECLARED = Declared()
