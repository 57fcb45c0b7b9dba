"""What a remedy is handed, a `Patient`, and what it hands back, a `Change`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from gradcheck_health.check.remedies.edit import Edit
from gradcheck_health.check.remedies.operations import Operation
from gradcheck_health.model.tree import named_modules
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import listed


@dataclass(frozen=True, slots=True)
class Patient:
    """A sick model, what was measured of it, and the operations that its forward pass consists of."""

    subject: Subject
    trace: Trace
    operations: tuple[Operation, ...]
    """In the order in which they ran."""
    flops: int | None = None
    """Of one forward pass, where they could be counted."""

    @property
    def model(self) -> nn.Module:
        return self.subject.model

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """By their names without the prefixes of wrappers; of a wrapper and what it wraps, what it wraps."""
        return dict(named_modules(self.model))

    @property
    def linears(self) -> tuple[Operation, ...]:
        """Products with a weight, once for each weight."""
        found = {one.weight: one for one in reversed(self.operations) if one.weight}
        return tuple(reversed(list(found.values())))

    @property
    def head(self) -> str:
        """The weight of the last product: what it makes is read as the output."""
        return next((one.weight for one in reversed(self.operations) if one.weight), "")

    @property
    def recurrent(self) -> frozenset[str]:
        """Weights that are used again and again: a recurrence that is written out."""
        used = [one.weight for one in self.operations if one.weight]
        return frozenset(name for name in used if used.count(name) >= OFTEN)

    def hidden_activations(self) -> tuple[Operation, ...]:
        """Activations with a product with a weight behind them: those behind the last one make the output."""
        last = max((i for i, one in enumerate(self.operations) if one.weight), default=0)
        return tuple(one for one in self.operations[:last] if one.kind == "activation")


OFTEN = 4
"""Uses of a weight in one forward pass from which on it is taken for that of a recurrence."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a remedy did to the model."""

    what: str
    """In the user's terms, as code where it can be: "nn.init.kaiming_normal_(weight) for 0, 2, 4"."""
    names: tuple[str, ...]
    """The layers or parameters that it changed."""
    parameters: int = 0
    """Trainable entries that it adds."""
    mode: Edit | None = None
    """Exchanges operations of the loss, too."""
    scale: float = 1.0
    """What the loss is multiplied by."""
    direct: bool = False
    """It acts on the very operation that is to blame: it is checked before what may help in general."""
    last_resort: bool = False
    """The finding falls silent because it is given up."""


def changed(
    what: str, names: Sequence[str], parameters: int = 0, mode: Edit | None = None, *, direct: bool = False
) -> Change | None:
    """The change, with its places; None where nothing was changed."""
    places = tuple(dict.fromkeys(names))
    return (
        Change(f"{what} ({listed([name or 'forward' for name in places])})", places, parameters, mode, direct=direct)
        if places
        else None
    )
