"""Results of further measurements: small records that facts hand to rules inside a `Trace`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Twins:
    """Units of one weight that cannot be told apart."""

    parameter: str
    units: int
    alike: int
    """Units that hold the same values as another one and got the same gradient, which is not zero."""
    silent: bool = False
    """The whole gradient is zero: nothing can be said yet."""
    size: float | None = None
    """Absolute value of every entry of the weight; None where they differ."""


@dataclass(frozen=True, slots=True)
class OneSided:
    """A wide weight whose sampled entries all have one sign, and are not all equal."""

    parameter: str
    before: float | None = None
    """Share of the largest principal component of what enters it, over samples and positions (the fact `one_line`)."""
    after: float | None = None
    """The same of what enters the last weight that the model uses."""


@dataclass(frozen=True, slots=True)
class DoubleSoftmax:
    """Probabilities that are fed to a function that wants logits, in the head or in the loss."""

    first: str
    """softmax, sigmoid or log_softmax."""
    second: str
    """log_softmax (cross_entropy), softmax, sigmoid, binary_cross_entropy_with_logits ..."""
    layer: str
    """Path of the module that applied the first, and of the one that applied the second."""
    outer: str
    source: str | None = None
    outer_source: str | None = None


UNLINKED = "autograd.Function"
"""How a cut begins that is a custom Function of which no input has a gradient: nothing links it to the graph."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the graph loses parameters that the values still depend on (the `detailed` fact)."""

    op: str
    """detach, argmax, no_grad, numpy, autograd.Function Name ..."""
    layer: str
    source: str | None
    parameters: tuple[str, ...]
    reaches_output: bool
    """Values behind the cut arrive in an output: without the cut these parameters would be trained."""
    flat: bool = False
    """Differentiable in name: the gradient that comes back is zero and not missing (round, sign, bernoulli)."""
    feeds: tuple[str, ...] = ()
    """Layers that take values from behind the cut."""


@dataclass(frozen=True, slots=True)
class Nonfinite:
    """The first operation that made NaN or Inf out of finite values (the `detailed` fact)."""

    phase: str
    """forward or backward."""
    op: str
    layer: str
    source: str | None
    what: str
    """nan, inf, or overflow: Inf in half precision where float32 would have held the value."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the entries of one tensor are spread, in absolute numbers (the `distributions` fact)."""

    of: str
    """gradient, weight or output."""
    name: str
    """A parameter, or the layer whose output it is."""
    kind: str
    """Class name of the module that owns it."""
    mean: float
    """Mean absolute value."""
    zeros: float
    """Share of entries that are exactly zero."""
    low: float
    """5th percentile of the entries."""
    high: float
    """95th percentile of the entries."""
    variance: float
    moved: float | None = None
    """Of a trainable weight: mean absolute change in one Adam step of 1e-3, over the mean absolute value."""
    inactive: float | None = None
    """Of an activation's output: share of units that are not at their flat end for less than 1 % of the entries."""
    weak: float | None = None
    """Of an activation's output: share of units whose 95th percentile of absolute values is below 1e-5."""


@dataclass(frozen=True, slots=True)
class ConstantPredictor:
    """The loss of one batch, and what it would be if the output were the same for every sample (`constant_predictor`)."""

    loss: float
    neutral: float
    """Of an output that knows no target: zeros (equal probabilities), or the model's own mean output, whichever is better."""
    best: float
    """Of the best constant output that was found."""
    near: float
    """Of that output with every entry brought into -10 to 10."""
    reach: float
    """The largest absolute entry of the best constant output."""
    output: float
    """rms of the output that enters the loss."""
    growth: float = 1.0
    """The power of the distance from the best constant with which the loss grows: 1 (cross entropy) to 2 (squared errors)."""
    weight: str = ""
    """The parameter whose product the output is; "" where that is not known."""
    paired: bool = False
    """The loss is written by hand, and another one where the outputs stand in another order."""


@dataclass(frozen=True, slots=True)
class ForeignLeaf:
    """A tensor that requires a gradient and takes part in forward, but is no parameter of the model (`foreign_leaves`)."""

    name: str
    """Its path by attributes, as `state_dict` would spell it ("blocks.0.weight"); the layer where it is made if it has none."""
    kind: str
    """Class name of the module that holds it, or of the tensor."""
    shape: tuple[int, ...]
    held: str
    """"module" (in one that is not registered), "attribute", "global", "product" (an attribute holds what was computed from
    it), or "forward" (created in each call)."""
    source: str | None = None
    """The line of forward that first takes it; of a product the line that computes it."""
    behind: tuple[str, ...] = ()
    """Parameters without a gradient that its values are computed from: it was made out of a layer's output."""


@dataclass(frozen=True, slots=True)
class TimeProfile:
    """How a loss on the last step alone reaches back through the steps (the fact `time_profile`)."""

    layer: str
    kind: str
    norms: tuple[float, ...]
    """|dL/dx_t| over the batch, the first step first."""
    width: int
    """Units of the state; 0 where they are not known."""
    stretched: int = 0
    """So many steps the input had before it was repeated to have enough; 0 if it was not."""
    detached: str | None = None
    """The line that cuts every step off from the one before ("" where it is not known), where the last output moves with an
    earlier step and no gradient comes back to one."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """A weight that takes its own result again, step after step, in a recurrence that is written out (the `detailed` fact)."""

    parameter: str
    layer: str
    """Where the operation is that takes it."""
    source: str | None


@dataclass(frozen=True, slots=True)
class Zeroed:
    """Where the gradient of some parameters becomes exactly zero on its way back (the `detailed` fact)."""

    op: str
    """The operation that gets a gradient and hands back none: mul, relu, layer_norm ..."""
    layer: str
    source: str | None
    how: str
    """factor: multiplied by zeros; single: a softmax or normalisation over one entry; off: a rectifier that is off everywhere;
    flat: a squashing function at its flat end; input: the weight is multiplied by an input of zeros; weights: the input is
    multiplied by weights of zeros; cancels: gradients of opposite sign meet; stopped: anything else."""
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CustomBackward:
    """The backward of a custom `autograd.Function` or operator, against central differences (the fact `custom_backward`)."""

    name: str
    layer: str
    """Where it is called first."""
    source: str | None
    argument: int
    """Which input, counted from 0, is worst."""
    entries: int
    """So many entries were compared."""
    wrong: int
    """So many of them differ, where forward does have a derivative."""
    error: float
    """The largest difference, over the larger of the largest measured and claimed slope."""
    factor: float | None
    """Claimed over measured, where that is the same for all entries."""
    flat: int
    """Entries of an input in which forward is piecewise constant and backward is not zero: a surrogate gradient; 0: none."""
    same: bool
    """Forward hands an input on unchanged, or clamped and straight through: it is there for the sake of its backward."""
    failed: str = ""
    """Why nothing could be compared."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """The range of a model's numbers, measured where nothing over- or underflows (the `headroom` fact)."""

    exponents: tuple[tuple[int, int], ...]
    """(e, count): so many entries of gradients lie above 2^(e-1), up to 2^e; zeros are not counted."""
    activation: float
    """The largest absolute value that a layer returns."""
    layer: str
    """The layer that returns it."""
    kind: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What differed between two identical passes (the `twice` fact)."""

    what: str
    """output, or gradient."""
    names: tuple[str, ...]
    """Output paths, or parameters."""
    largest: float
    """The largest difference, over the largest entry."""
    layer: str = ""
    kind: str = ""
    op: str = ""
    """The operation that torch calls nondeterministic, or the one whose result differs first."""
    source: str | None = None
