"""What forward and backward passes showed: plain numbers and names, no tensors, JSON both ways.

A `Trace` is the only thing that rules see, so a trace stored as JSON in a bug report is the regression test. Parameters and
layers are named as in `state_dict` (wrapper prefixes stripped). Norms are Euclidean and unitless; `rms` is the root mean square
over the finite entries of a tensor.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradcheck_health.records.codec import from_document, to_document
from gradcheck_health.records.compiled import CompiledRun
from gradcheck_health.records.declarations import UNDECLARED, Declared
from gradcheck_health.records.edges import EdgeInput
from gradcheck_health.records.evidence import (
    ConstantPredictor,
    CustomBackward,
    Cut,
    Difference,
    Distribution,
    DoubleSoftmax,
    ForeignLeaf,
    Headroom,
    Nonfinite,
    OneSided,
    Recurring,
    TimeProfile,
    Twins,
    Zeroed,
)
from gradcheck_health.records.history import History
from gradcheck_health.records.influence import Influence
from gradcheck_health.records.losses import LossPairing, LossTerm, MisreadLoss
from gradcheck_health.records.measurements import (
    ActivationTrace,
    CutPoint,
    InputsTrace,
    LayerTrace,
    OutputTrace,
    ParameterTrace,
)
from gradcheck_health.records.profile import Profile
from gradcheck_health.records.ranks import RanksTrace
from gradcheck_health.records.saved import SavedWeights
from gradcheck_health.records.scale import Scale
from gradcheck_health.records.severed import Draw, Severed, Starved
from gradcheck_health.records.starts import Initialisations, Uninitialized
from gradcheck_health.records.step import StepTrace
from gradcheck_health.records.writes import Clobbered, Overwritten, Rewritten

SCHEMA = 1
"""Version of the JSON form. It grows when a field changes its meaning or goes; new fields with defaults keep it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything that the passes under one condition showed, and under `facts` what they showed under others."""

    model: str
    """Class name of the model."""
    layers: Mapping[str, LayerTrace]
    parameters: Mapping[str, ParameterTrace]
    """In execution order of their layers; registration order never matters."""
    activations: tuple[ActivationTrace, ...]
    flow: tuple[CutPoint, ...]
    """From the first layer to the output."""
    outputs: tuple[OutputTrace, ...]
    inputs: InputsTrace
    objective: str
    """"random projection", "the model's own loss" or "the given loss"."""
    seed: int
    flow_by: str = "cut points"
    """"cut points" of the autograd graph, or "module outputs" where the graph was too large to walk."""
    flow_note: str = ""
    """Why the flow is not judged; "" if it is."""
    loss: float | None = None
    training: bool = True
    declared: Declared = UNDECLARED
    """What the user said about the model."""
    causal: str = ""
    """What shows that the model is causal; "" if nothing does."""
    half: bool = False
    """The parameters, or autocast, are half precision."""
    gaps: tuple[str, ...] = ()
    """What was not seen, each one sentence."""
    cuts: tuple[Cut, ...] = ()
    nonfinite: tuple[Nonfinite, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    """How gradients, weights and outputs are spread, where a preset asks for it (the `distributions` fact)."""
    losses: tuple[float, ...] = ()
    """The objective before each of some steps of training on one batch (the `distributions` fact)."""
    twins: tuple[Twins, ...] = ()
    double_softmaxes: tuple[DoubleSoftmax, ...] = ()
    leaves: int = 0
    """Leaves of the graph that are no parameters, and may be a fault: without what is gone with the pass, most of the time."""
    foreign: tuple[ForeignLeaf, ...] = ()
    """Which of them should have been parameters (the `foreign_leaves` fact)."""
    influences: tuple[Influence, ...] = ()
    """Of what an output should not know (the facts `mixing` and `future`)."""
    times: tuple[TimeProfile, ...] = ()
    """Of recurrences (the fact `time_profile`)."""
    backwards: tuple[CustomBackward, ...] = ()
    """Of custom functions (the fact `custom_backward`)."""
    headrooms: tuple[Headroom, ...] = ()
    """The range of numbers (the fact `headroom`)."""
    differences: tuple[Difference, ...] = ()
    """Between two identical passes (the fact `twice`)."""
    custom_functions: tuple[str, ...] = ()
    """Names of the custom `autograd.Function`s and operators in the graph."""
    repeats: tuple[int, ...] = ()
    """How many times weights outside of torch's recurrent layers are used, where they are used again and again."""
    recurring: tuple[Recurring, ...] = ()
    zeroed: tuple[Zeroed, ...] = ()
    constants: tuple[ConstantPredictor, ...] = ()
    """One for each batch (the fact `constant_predictor`)."""
    backward_error: str = ""
    """What backward raised; then nothing but the forward pass was seen."""
    carried: tuple[str, ...] = ()
    """Attributes into which forward puts a part of the graph."""
    stale: tuple[str, ...] = ()
    """Attributes with a part of a graph that is older than forward, and that forward uses."""
    rewritten: tuple[Rewritten, ...] = ()
    overwritten: tuple[Overwritten, ...] = ()
    clobbered: tuple[Clobbered, ...] = ()
    ranks: int = 1
    """Processes that check together."""
    parallel: RanksTrace | None = None
    """What was seen of them beside one another (the `ranks` fact)."""
    starved: tuple[Starved, ...] = ()
    one_sided: tuple[OneSided, ...] = ()
    severed: tuple[Severed, ...] = ()
    draws: tuple[Draw, ...] = ()
    """Of the pass; of the fact `reparametrised` those through which something would be learnt."""
    rounds: int = 5
    """Seeds that a verdict is confirmed under, at most, this one included."""
    varied: tuple[str, ...] = ()
    """Under a further seed: what is another than under the first: initialisation, batch, projection, random draw in forward."""
    facts: Mapping[str, tuple[Trace, ...]] = field(default_factory=dict)
    """The same measurement under other conditions: kicked, after_steps, float64, reseeded, more_samples, detailed.

    A fact that could not be measured is an empty tuple, and `gaps` says why.
    """
    misread: tuple[MisreadLoss, ...] = ()
    pairings: tuple[LossPairing, ...] = ()
    """Whether the loss is blind to the order of the targets the fact `pairing` says."""
    constant_terms: bool = False
    """Something without a gradient is added to the loss."""
    terms: tuple[LossTerm, ...] = ()
    """Those that have none although they move with the parameters (the fact `loss_terms`)."""
    anew: bool = False
    """The model can be built again, with other initial values: a factory was handed over."""
    initialisations: Initialisations | None = None
    """How often it starts dead (the fact `initialisations`)."""
    uninitialized: tuple[Uninitialized, ...] = ()
    """Of a model whose factory was handed over; other values stand in for such memory in everything that was measured."""
    steps: tuple[StepTrace, ...] = ()
    """Steps of training, where an optimizer was handed over: the first, or the first ten (the fact `more_steps`)."""
    history: History | None = None
    """Of a training loop that was watched, or of a trial run of many steps."""
    fragile: tuple[str, ...] = ()
    """Operations that have no finite derivative somewhere: sqrt at 0, a division by what depends on the data."""
    apart: bool = False
    """Every operation of forward is known to keep the samples apart: that none moves another need not be measured."""
    in_order: bool = False
    """Every operation of forward is known to be causal: that no step moves an earlier one need not be measured."""
    edges: tuple[EdgeInput, ...] = ()
    compiles: bool = False
    """The model was handed over compiled."""
    compiled: CompiledRun | None = None
    """The fact of this name."""
    scale: Scale | None = None
    """How the flow and the steps change with the size of the model, where a sweep was handed over."""
    saved: SavedWeights | None = None
    """Of a file of weights that was checked by itself."""
    reference: Profile | None = None
    """The profile of a baseline, where the model is compared with one."""

    @property
    def closest(self) -> Trace:
        """The second, slower pass with its source lines where it was taken (the `detailed` fact), otherwise this one."""
        return self.under("detailed")

    def under(self, fact: str) -> Trace:
        """The trace that a fact measured first, this one where it measured none."""
        return (*self.facts.get(fact, ()), self)[0]

    def idle_layer(self, layer: str) -> str | None:
        """The outermost module around `layer`, or itself, that was never called; None if all were.

        A container that is never called itself, but inside which others are (`ModuleList`), is not idle.
        """
        parts = layer.split(".") if layer else []
        for end in range(1, len(parts) + 1):
            path = ".".join(parts[:end])
            entry = self.layers.get(path)
            if entry is None or entry.calls:
                continue
            if not any(name.startswith(f"{path}.") and inner.calls for name, inner in self.layers.items()):
                return path
        return None

    def only(self, **evidence: Any) -> Trace:
        """What a fact hands back that measured something else than the gradients: this subject, and the evidence alone."""
        tables: dict[str, Any] = {key: {} for key in ("parameters", "layers", "facts")}
        measured = ("activations", "flow", "outputs", "gaps", "cuts", "nonfinite", "zeroed", "twins", "double_softmaxes")
        again = ("influences", "times", "backwards", "headrooms", "differences", "one_sided", "starved", "severed", "draws")
        asked = ("foreign", "constants", "steps", "uninitialized", "misread", "pairings", "terms", "clobbered", "edges")
        rows: dict[str, Any] = dict.fromkeys((*measured, *again, *asked), ())
        return dataclasses.replace(self, **(tables | rows | evidence))

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers; NaN and infinities become the strings "nan", "inf" and "-inf"."""
        return to_document(self, SCHEMA)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trace:
        """The inverse of `to_dict`.

        Raises:
            ValueError: another schema version, or a missing or unknown field.
        """
        return from_document(cls, data, SCHEMA, "trace")

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Trace:
        return cls.from_dict(json.loads(text))
