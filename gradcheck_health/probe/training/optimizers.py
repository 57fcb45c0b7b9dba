"""What the user handed over to train a model with, checked: optimizers or factories of them, schedulers, a scaler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.probe.training.lightning import configured, configures
from gradcheck_health.probe.training.observer import held
from gradcheck_health.records.errors import UsageError, describe_error
from gradcheck_health.records.training import Training

ALLOWED = (
    "an optimizer, a function from parameters to one such as partial(torch.optim.AdamW, lr=3e-4), a list of these, "
    "'sgd' or 'adam'"
)


@dataclass(frozen=True, slots=True)
class Trainers:
    """The optimizers of a model, with what drives them."""

    given: tuple[Any, ...] = ()
    """Optimizers, or factories of them."""
    schedulers: tuple[Any, ...] = ()
    scaler: Any = None
    own: bool = False
    """The model configures its optimizers itself (a LightningModule)."""

    @classmethod
    def of(cls, training: Training) -> Trainers:
        """Raises: UsageError: something else than an optimizer, a scheduler or a scaler, or one that cannot be used."""
        given = _several(training.optimizer)
        for one in given:
            if not isinstance(one, torch.optim.Optimizer) and not callable(one):
                raise UsageError(f"optimizer= got a {type(one).__name__}; allowed: {ALLOWED}")
        schedulers = _several(training.scheduler)
        if schedulers and not given and training.step is None:
            raise UsageError("scheduler= without optimizer=: hand over the optimizer whose learning rate it sets, too")
        for scheduler in schedulers:
            if not callable(getattr(scheduler, "step", None)):
                raise UsageError(f"scheduler= got a {type(scheduler).__name__}; allowed: what has a step(), such as StepLR")
            _drives(scheduler, given)
        scaler = training.scaler
        if scaler is not None:
            _usable(scaler, given, training.step)
        return cls(given, schedulers, scaler, own=not given and configures(training.model))

    @property
    def objects(self) -> tuple[Any, ...]:
        """What a step changes beside the model: to be remembered and put back."""
        return tuple(one for one in (*self.given, *self.schedulers, self.scaler) if one is not None)

    def build(self, model: nn.Module) -> tuple[torch.optim.Optimizer, ...]:
        """The optimizers over this model.

        Raises:
            UsageError: a factory raised or made something else, or nothing that it holds belongs to the model.
        """
        if self.own:
            return configured(model)
        built = tuple(one if isinstance(one, torch.optim.Optimizer) else _made(one, model) for one in self.given)
        if built:
            _over(model, built)
        return built


def family(given: Any) -> str:
    """sgd or adam: which limits on shrinking gradients hold for it. What divides by the size of a gradient is adam."""
    one = _several(given)[0]
    factory = getattr(one, "func", one)
    name = factory.__name__ if isinstance(factory, type) else type(one).__name__
    scaled = ("adam", "rms", "lamb", "lion", "adagrad", "adadelta", "adafactor", "rprop", "muon", "shampoo", "sophia")
    return "adam" if any(word in name.lower() for word in scaled) else "sgd"


def _several(given: Any) -> tuple[Any, ...]:
    return () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,)


def _made(factory: Any, model: nn.Module) -> torch.optim.Optimizer:
    name = getattr(getattr(factory, "func", factory), "__name__", type(factory).__name__)
    try:
        made = factory([p for p in model.parameters() if p.requires_grad])
    except Exception as error:
        raise UsageError(
            f"optimizer= {name} raised {describe_error(error)}: it is called with the model's parameters"
        ) from error
    if not isinstance(made, torch.optim.Optimizer):
        raise UsageError(f"optimizer= {name} returned a {type(made).__name__}; allowed: a torch.optim.Optimizer")
    return made


def _over(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Something of the model, or of another object that looks like it (which a rule judges), is in them."""
    tensors = [p for optimizer in optimizers for p in held(optimizer)]
    own = [p for p in model.parameters() if not is_lazy(p)]
    known = {id(p) for p in own}
    if any(id(p) in known for p in tensors) or {tuple(p.shape) for p in tensors} & {tuple(p.shape) for p in own}:
        return
    name = type(model).__name__
    raise UsageError(
        f"optimizer= {type(optimizers[0]).__name__} holds {len(tensors)} tensors, and none of them is one of the {len(own)} "
        f"parameters of {name}: it was built over another model; build it from {name}'s parameters()"
    )


def _drives(scheduler: Any, given: Sequence[Any]) -> None:
    optimizer = getattr(scheduler, "optimizer", None)
    instances = [one for one in given if isinstance(one, torch.optim.Optimizer)]
    if isinstance(optimizer, torch.optim.Optimizer) and all(optimizer is not one for one in instances):
        raise UsageError(
            f"scheduler= {type(scheduler).__name__} sets the learning rate of a {type(optimizer).__name__} that is not "
            "optimizer=: hand over that one"
        )


def _usable(scaler: Any, given: Sequence[Any], step: Any) -> None:
    missing = [name for name in ("scale", "step", "update", "is_enabled") if not callable(getattr(scaler, name, None))]
    if missing:
        raise UsageError(f"scaler= got a {type(scaler).__name__}; allowed: a torch.amp.GradScaler")
    if not given and step is None:
        raise UsageError("scaler= without optimizer=: hand over the optimizer whose steps it scales, too")
    device = str(getattr(scaler, "_device", "cuda"))
    if not scaler.is_enabled() and device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "scaler= is a GradScaler('cuda') on a machine without CUDA, so it is disabled: use GradScaler('cpu') here, "
            "or leave it out (scaler=None)"
        )
