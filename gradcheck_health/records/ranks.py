"""What was seen of the ranks beside one another: tensors that are not the same on all, and gradients before and after they were
brought together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A tensor that each rank has as a whole, and that is not the same on all of them."""

    name: str
    what: str
    """parameter, trained parameter (after the steps that were given), buffer, or gradient."""
    groups: tuple[tuple[int, ...], ...]
    """Ranks that have the same, the largest group first; without those that hold another part of it and agree."""
    difference: float
    """The largest, of a fixed projection of its entries, relative to the norm."""
    kept_by_forward: bool = False
    """Forward writes to it: running statistics are local by design."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """How the gradient of a parameter after backward goes with those that the ranks had of their own batches."""

    name: str
    factor: float
    """After backward, over the mean of the ranks' own: 1 where they are averaged, the number of ranks where they are added."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A parameter that got a gradient on some of the ranks only."""

    name: str
    without: tuple[int, ...]
    """The ranks on which none arrived."""
    sharded: bool = False
    """They hold their part of it, and no gradient beside it."""


@dataclass(frozen=True, slots=True)
class RanksTrace:
    """One backward pass on as many batches as there are ranks, each rank's own."""

    size: int
    scheme: str
    """"DistributedDataParallel", "fully_shard", "tensor parallel", "pipeline", "replicas" (nothing averages)."""
    disagreements: tuple[Disagreement, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    """Of a sample of the parameters, those with the largest gradients."""
    uneven: tuple[Reach, ...] = ()
    tolerates_unused: bool = False
    """The wrapper looks for unused parameters by itself (find_unused_parameters)."""
    unsynchronised: bool = False
    """Bringing gradients together is turned off: no_sync(), set_requires_gradient_sync(False)."""
    same_batch: bool = False
    """The batch was given, and is the same on every rank."""
    same_seed: bool = False
    """The generators of all ranks stood at the same place before the check, and forward draws from them."""
    failure: str = ""
    """Why the pass on the ranks' own batches was not made."""
