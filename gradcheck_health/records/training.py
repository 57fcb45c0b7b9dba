"""Everything that one step of training takes, as the user hands it over."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Training:
    """A model with what trains it: `check_gradients(Training(...))`, or what a function `setup()` returns.

    Everything but the model may be left out. Nothing is changed: model, optimizer, scheduler and scaler come back as they were.
    """

    model: Any
    """An `nn.Module`."""
    inputs: Any = None
    """What to feed it; made up where None."""
    loss: Any = None
    """A function of the output, or of (output, targets)."""
    targets: Any = None
    """What such a loss is handed beside the output."""
    optimizer: Any = None
    """A `torch.optim.Optimizer` over the model, a function from parameters to one (`partial(torch.optim.AdamW, lr=3e-4)`), or a
    list of these where several train it."""
    scheduler: Any = None
    """The learning rate scheduler, or several."""
    scaler: Any = None
    """A `torch.amp.GradScaler`."""
    step: Any = None
    """The user's own step, a function of nothing or of a batch; it is watched instead of a step that the check makes up."""
    steps: int | None = None
    """How many steps a trial run takes; none where neither this nor the setting says so."""

    @classmethod
    def of(cls, model: Any, inputs: Any = None, loss: Any = None, targets: Any = None, optimizer: Any = None) -> Training:
        """What arguments of a call give, over what a `Training` in the place of the model gives."""
        base = model if isinstance(model, cls) else cls(model)
        given = {"inputs": inputs, "loss": loss, "targets": targets, "optimizer": optimizer}
        return dataclasses.replace(base, **{name: value for name, value in given.items() if value is not None})

    def completed(self, made: Training) -> Training:
        """This, with what is missing taken from what a factory made, and its model."""
        names = [field.name for field in dataclasses.fields(self) if getattr(self, field.name) is None]
        return dataclasses.replace(self, **{name: getattr(made, name) for name in names}, model=made.model)
