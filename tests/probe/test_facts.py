"""What facts measure beyond the first look, and what the second, slower look finds."""

from __future__ import annotations

import dataclasses
import importlib
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import Severity, check_gradients
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.model.source.assignments import Assignments
from gradcheck_health.model.source.built_at import construction
from gradcheck_health.probe import Subject, fact_names, probe, take
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow


def drawn(seed: int, width: int = 8) -> Inputs:
    x = torch.randn(16, width, generator=torch.Generator().manual_seed(seed))
    return Inputs((x,), batch=16, resample=lambda other: drawn(other, width))


def facts_of(model: nn.Module, fact: str, **options: Any) -> tuple[Trace, ...]:
    subject = Subject(model, drawn(0), **options)
    with sandbox(model):
        first = probe(subject)
    return take(fact, subject, first)


NEED_MORE = {"compiled", "initialisations", "more_steps", "ranks"}
"""Facts that no built model by itself shows: they need compiled code, a factory, an optimizer, or several processes."""


class Gated(nn.Module):
    """ReZero: the branch is multiplied by zero at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.branch = nn.Linear(8, 8), nn.Linear(8, 8)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.main(x)
        out: torch.Tensor = h + self.gate * self.branch(h)
        return out


def test_unknown_fact() -> None:
    with pytest.raises(ValueError, match=r"kicked.*more_samples"):
        facts_of(Gated(), "horoscope")


@pytest.mark.slow
def test_every_fact_is_measured_on_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = Gated()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for fact in fact_names():
        assert bool(facts_of(model, fact)) == (fact not in NEED_MORE), fact
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), fact


@pytest.mark.parametrize(("fact", "at"), [("kicked", 0), ("after_steps", 3)])
def test_zero_initialisation_wakes_up(fact: str, at: int) -> None:
    torch.manual_seed(0)
    seen = facts_of(Gated(), fact)[at].parameters["branch.weight"].gradient
    assert seen is not None
    assert not seen.is_zero


class Scaled(nn.Module):
    """A token that hears of the input through a branch under LayerScale alone."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.token, self.scale = nn.Parameter(torch.randn(8)), nn.Parameter(torch.full((8,), start))
        self.branch, self.head = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.token + self.scale * self.branch(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("start", "opens"), [(1e-6, True), (0.3, False), (0.0, False)])
def test_factors_near_zero_open(start: float, opens: bool) -> None:
    torch.manual_seed(0)
    (seen,) = facts_of(Scaled(start), "opened")
    if opens:
        assert 0.2 < seen.parameters["scale"].value.rms < 1.0
        assert seen.inputs.batch == 2
        ratio = flow.ratio(seen)
        assert ratio is not None
        assert ratio > 0.01
    else:
        assert not seen.parameters


def test_one_look_with_open_factors_clears_a_token_of_three_rules() -> None:
    torch.manual_seed(0)
    report = check_gradients(Scaled(1e-6), torch.randn(32, 8), seed=0)
    assert "opened" in report.trace.facts
    assert not {"kicked", "float64", "after_steps"} & set(report.trace.facts)
    assert all(finding.severity is Severity.NOTE for finding in report.findings)


def test_factors_that_are_near_enough_to_zero_to_reckon_with_need_no_look() -> None:
    torch.manual_seed(0)
    trace = check_gradients(Scaled(1e-5), torch.randn(32, 8), seed=0, select=["vanishing-gradient", "constant-output"]).trace
    assert trace.flow[0].shrunk == pytest.approx(1e-5)
    assert trace.outputs[0].variation is not None
    assert trace.outputs[0].variation < 1e-9
    assert not trace.facts


@pytest.mark.parametrize("start", [1e-5, 1e-3])
def test_constant_output_is_named_behind_small_factors(start: float) -> None:
    """What varies by rounding alone is not made up for."""
    torch.manual_seed(0)
    model = nn.Sequential(Scaled(start), nn.Linear(3, 1), nn.Softmax(-1))
    report = check_gradients(model, torch.randn(32, 8), seed=0)
    assert "constant-output" in {finding.rule for finding in report.findings if finding.severity is Severity.ERROR}


def test_float64_tells_a_true_zero_from_a_small_number() -> None:
    """The bias in front of a batch norm has a gradient of exactly zero, which float32 rounds to something. Eight samples do."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    with sandbox(model):
        low = probe(Subject(model, Inputs((drawn(0).args[0][:8],), batch=8)))
    (high,) = take("float64", Subject(model, drawn(0)), low)
    bias = [trace.parameters["0.bias"].gradient.rms for trace in (low, high)]  # type: ignore[union-attr]
    weight = [trace.parameters["0.weight"].gradient.rms for trace in (low, high)]  # type: ignore[union-attr]
    assert bias[1] < 1e-6 * bias[0]
    assert weight[0] == pytest.approx(weight[1], rel=1e-4)


def test_training_hands_its_first_look_to_the_other_seeds() -> None:
    """Before the first step it is the next seed, on the same weights: of a whole batch, as with a loss."""
    subject = Subject(Gated(), drawn(0), loss=lambda out: out.square().sum())
    with sandbox(subject.model):
        trace = probe(subject)
        trained = take("after_steps", subject, trace)
        (alone,) = take("reseeded", subject, trace)
        (shared,) = take("reseeded", subject, dataclasses.replace(trace, facts={"after_steps": trained}))
    assert shared == alone
    assert shared.flow == trained[0].flow
    with sandbox(subject.model):
        on_part = take("after_steps", dataclasses.replace(subject, loss=None), trace)
        assert take("reseeded", subject, dataclasses.replace(trace, facts={"after_steps": on_part})) == (alone,)


class Untouched(nn.Module):
    """A layer that is never called, beside one that draws."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.used, self.unused, self.noise = nn.Linear(8, 8), nn.Linear(8, 8), nn.Dropout(p)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.noise(self.used(x))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("batches", "p", "chances", "perturbed"), [(False, 0.0, 0, 3), (False, 0.5, 4, 3), (True, 0.0, 0, 0), (True, 0.5, 4, 0)]
)
def test_chances_are_given_where_something_depends_on_chance(batches: bool, p: float, chances: int, perturbed: int) -> None:
    """On a quarter of a batch, and on perturbed copies of one that none can be drawn for."""
    fed = drawn(0) if batches else dataclasses.replace(drawn(0), resample=None)
    subject = Subject(Untouched(p), fed)
    with sandbox(subject.model):
        trace = probe(subject)
    seen = take("after_steps", subject, trace)
    assert [one.inputs.batch for one in seen] == [4] * 3 + [16] + [4] * (chances + perturbed)


def test_the_targets_of_a_loss_belong_to_the_whole_batch() -> None:
    """Without one the steps take a quarter of it each, and the look after them the whole."""
    for loss, sizes in ((None, [4, 4, 4, 16]), (lambda out: out.square().sum(), [16] * 4)):
        subject = Subject(Gated(), drawn(0), loss=loss)
        with sandbox(subject.model):
            trace = probe(subject)
        assert [one.inputs.batch for one in take("after_steps", subject, trace)] == sizes


class Routed(nn.Module):
    """Each batch goes to the expert that its mean chooses; all of them are called."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(8, 8, bias=False) for _ in range(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen = int(x.double().sum().abs() * 1000) % 16
        return sum(expert(x) * (i == chosen) for i, expert in enumerate(self.experts))  # type: ignore[return-value]


def test_chances_are_given_where_looks_differ() -> None:
    """In which parameters get zeros, though every layer is called each time."""
    subject = Subject(Routed(), drawn(0))
    with sandbox(subject.model):
        trace = probe(subject)
    assert len(take("after_steps", subject, trace)) == 8


class Keeping(nn.Module):
    """Keeps what it computed with its graph, and goes on with it where the number of the batch is one of `reads`."""

    def __init__(self, *reads: int) -> None:
        super().__init__()
        self.enter, self.leave, self.reads, self.batches = nn.Linear(8, 8), nn.Linear(8, 3), reads, 0
        self.pyramid: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.enter(x)
        if self.batches in self.reads:
            h = h + self.pyramid[1]
        self.pyramid = [h, h.tanh()]
        self.batches += 1
        return self.leave(h * self.pyramid[1])  # type: ignore[no-any-return]


@pytest.mark.parametrize(("reads", "read"), [((), ()), ((1, 2), ("pyramid",)), ((2,), ("pyramid",))])
def test_what_the_next_batches_go_on_with(reads: tuple[int, ...], read: tuple[str, ...]) -> None:
    """What each of them writes over first is no graph of an earlier one, and asks for no training."""
    (seen,) = facts_of(Keeping(*reads), "read_again")
    assert seen.carried == read
    asked = check_gradients(Keeping(*reads), torch.randn(16, 8), select=["failed-backward"])
    assert ("after_steps" in asked.trace.facts) is bool(read)
    assert [finding.rule for finding in asked.findings] == ["failed-backward"] * bool(read)


class Asking(nn.Module):
    """Makes a leaf in each forward: of its input, as the feature extractors of Wav2Vec2 do, or an `nn.Parameter`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer, self.kind = nn.Linear(8, 8), kind
        self.held = torch.randn(8, requires_grad=True) if kind == "kept" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.held is not None:
            return self.layer(x) * self.held  # type: ignore[no-any-return]
        made = x[:, None].clone()
        leaf = nn.Parameter(made) if self.kind == "parameter" else made.requires_grad_()
        return self.layer(leaf)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("kind", "found"), [("input", []), ("parameter", ["forward"]), ("kept", ["attribute"])])
def test_leaves_that_are_new_in_each_pass_are_data(kind: str, found: list[str]) -> None:
    (seen,) = facts_of(Asking(kind), "foreign_leaves")
    assert [leaf.held for leaf in seen.foreign] == found


def test_reseeded_adds_one_seed_each_time() -> None:
    """Another batch and projection for a fixed model."""
    model = Gated()
    subject = Subject(model, drawn(0))
    with sandbox(model):
        trace = probe(subject)
    for count in (1, 2, 3):
        trace = dataclasses.replace(trace, facts={"reseeded": take("reseeded", subject, trace)})
        assert len(trace.facts["reseeded"]) == count
    assert len({one.flow[0].gradient for one in trace.facts["reseeded"]}) == 3
    assert trace.facts["reseeded"][-1].varied == ("batch", "projection")


@pytest.mark.parametrize(("p", "varied"), [(0.0, ()), (0.5, ("random draw in forward",))])
def test_reseeded_says_what_really_varied(p: float, varied: tuple[str, ...]) -> None:
    """A fixed model on a fixed batch under a given loss: only what forward draws itself is new."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(p), nn.Linear(8, 2))
    fixed = Inputs((torch.ones(4, 8),), batch=4)
    subject = Subject(model, fixed, loss=lambda out: out.square().mean())
    with sandbox(model):
        trace = probe(subject)
    assert take("reseeded", subject, trace)[0].varied == varied


def test_fact_that_the_model_does_not_allow_is_empty() -> None:
    class Float32(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.fc(x.float())
            return out

    assert facts_of(Float32(), "float64") == ()


def test_more_samples_are_a_few_at_first_and_at_least_256_in_the_end() -> None:
    model, drawn = nn.Sequential(nn.Linear(8, 8), nn.ReLU()), Inputs((torch.randn(4, 8),), batch=4)
    subject = Subject(model, dataclasses.replace(drawn, resample=lambda seed: drawn))
    with sandbox(model):
        trace = probe(subject)
    seen = []
    for _ in range(3):
        trace = dataclasses.replace(trace, facts={"more_samples": take("more_samples", subject, trace)})
        (one,) = trace.facts["more_samples"]
        seen.append((one.activations[0].samples, one.inputs.batch))
    assert seen == [(16, 16), (64, 64), (256, 256)]


def test_more_samples_hold_one_graph_at_a_time() -> None:
    saved: list[weakref.ref[torch.Tensor]] = []

    class Squared(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert all(one() is None for one in saved)
            out = super().forward(x)
            saved.append(weakref.ref(out))  # which the graph keeps for the way back
            return torch.relu(out * out)

    drawn = Inputs((torch.randn(4, 8),), batch=4)
    subject = Subject(Squared(8, 8), dataclasses.replace(drawn, resample=lambda seed: drawn))
    with sandbox(subject.model):
        trace = probe(subject)
        assert take("more_samples", subject, trace)


class Cutting(nn.Module):
    def __init__(self, cut: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 8)
        self.cut = cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = self.before(x)
        print_only = code.detach().mean()  # for a log: this cut does not matter
        h = self.cut(code)
        out: torch.Tensor = self.after(h) if print_only is not None else h
        return out


def no_grad(h: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return h * 2


def item(h: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[value.item() for value in row] for row in h])


def written(h: torch.Tensor) -> torch.Tensor:
    kept = torch.zeros(16, 8)
    kept[:, :] = h.detach()
    return kept


def written_behind_the_back(h: torch.Tensor) -> torch.Tensor:
    kept = torch.zeros(16, 8)
    kept.data[:] = h.data
    return kept


def inferred(h: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        z = h * 2
    return z.clone()


def sliced(h: torch.Tensor) -> torch.Tensor:
    kept = torch.ones(16, 8)
    kept[:, : int(h.mean().sigmoid() * 8)] = 0
    return kept


def sliced_by_a_tensor(h: torch.Tensor) -> torch.Tensor:
    length = (h.mean().sigmoid() * 8).long()
    return torch.nn.functional.pad(torch.ones(16, 8)[:, :length], (0, 8 - int(length)))


@pytest.mark.parametrize(
    ("cut", "op"),
    [
        (lambda h: h.detach(), "detach"),
        (lambda h: h.data, "data"),
        (no_grad, "no_grad"),
        (lambda h: torch.from_numpy(h.detach().numpy()), "numpy"),
        (lambda h: torch.tensor(h.tolist()), "tolist"),
        (item, "item"),
        (lambda h: h.round(), "round"),
        (lambda h: torch.sign(h), "sign"),
        (lambda h: h.argmax(-1, keepdim=True).float().expand(-1, 8), "argmax"),
        (lambda h: (h > 0).float(), "gt"),
        (written, "detach"),
        (lambda h: torch.distributions.Categorical(logits=h).sample()[:, None].float().expand(-1, 8), "Categorical.sample"),
        (lambda h: torch.distributions.Normal(h, h.exp()).sample(), "Normal.sample"),
        (lambda h: nn.Parameter(h), "nn.Parameter"),
        (lambda h: h.topk(8).indices.float(), "topk indices"),
        (written_behind_the_back, "data"),
        (inferred, "inference_mode"),
        (sliced, "__int__"),
        (sliced_by_a_tensor, "long"),
    ],
    ids=[
        *("detach", "data", "no_grad", "numpy", "tolist", "item", "round", "sign", "argmax", "comparison", "setitem", "sample"),
        *("normal", "parameter", "topk", "data-setitem", "inference-mode", "int", "slice"),
    ],
)
def test_cut_is_named(cut: Callable[[torch.Tensor], torch.Tensor], op: str) -> None:
    (trace,) = facts_of(Cutting(cut), "detailed")
    cuts = [found for found in trace.cuts if found.reaches_output]
    assert op in [found.op for found in cuts]
    cut = next(found for found in cuts if found.op == op)
    assert set(cut.parameters) == {"before.weight", "before.bias"}
    assert cut.source is not None
    assert "test_facts.py" in cut.source


def test_straight_through_is_no_cut() -> None:
    (trace,) = facts_of(Cutting(lambda h: h + (h.round() - h).detach()), "detailed")
    assert trace.parameters["before.weight"].gradient is not None
    assert trace.cuts == ()


@pytest.mark.parametrize(
    ("how", "phase", "op"),
    [
        (lambda h: torch.log(h * 0), "forward", "log"),
        (lambda h: torch.sqrt(h * 0), "backward", "sqrt"),
        (lambda h: h / (h * 0), "forward", "div"),
        (lambda h: torch.exp(h * 1e6), "forward", "exp"),
        (lambda h: (h - h).norm(dim=-1, keepdim=True) ** 0.5 + h, "backward", "__pow__"),
    ],
    ids=["log", "sqrt", "div", "exp", "pow"],
)
def test_first_operation_that_makes_nan_is_named(how: Callable[[torch.Tensor], torch.Tensor], phase: str, op: str) -> None:
    (trace,) = facts_of(Cutting(how), "detailed")
    origin = trace.nonfinite[0]
    assert origin.phase == phase
    assert op.strip("_") in origin.op.lower()
    assert origin.source is not None
    assert "test_facts.py" in origin.source


class Zeroing(nn.Module):
    def __init__(self, zero: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.before, self.beside, self.after = nn.Linear(8, 1), nn.Linear(8, 1), nn.Linear(1, 8)
        self.zero = zero

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.after(self.zero(self.before(x)) + self.beside(x))
        return out


@pytest.mark.parametrize(
    ("zero", "op", "how"),
    [
        (lambda h: h * 0.0, "mul", "factor"),
        (lambda h: h * torch.zeros(16, 1), "mul", "factor"),
        (lambda h: torch.dropout(h, 1.0, True), "dropout", "factor"),
        (lambda h: torch.softmax(h, -1), "softmax", "single"),
        (lambda h: nn.functional.layer_norm(h, (1,)), "layer_norm", "single"),
        (lambda h: torch.relu(h - 100), "relu", "off"),
        (lambda h: torch.tanh(h + 100), "tanh", "flat"),
        (lambda h: h - h, "linear", "cancels"),
        (lambda h: h @ torch.zeros(1, 1), "matmul", "weights"),
        (lambda h: torch.where(torch.zeros(16, 1) > 0, h, torch.ones(16, 1)), "where", "stopped"),
    ],
    ids=["zero", "mask", "dropout", "softmax", "layer_norm", "relu", "tanh", "difference", "product", "where"],
)
def test_where_a_gradient_becomes_zero_is_named(zero: Callable[[torch.Tensor], torch.Tensor], op: str, how: str) -> None:
    (trace,) = facts_of(Zeroing(zero), "detailed")
    (zeroed,) = [found for found in trace.zeroed if "before.weight" in found.parameters]
    assert op in zeroed.op
    assert zeroed.how == how
    assert zeroed.source is not None
    assert "test_facts.py" in zeroed.source
    assert not any("beside.weight" in found.parameters for found in trace.zeroed)


class Built(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.body = nn.Sequential(
            nn.Linear(8, 8),
            nn.ReLU(),
            nn.Linear(8, 8),
        )
        self.blocks = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        self.scale: torch.Tensor = nn.Parameter(torch.ones(8))
        self.register_parameter("shift", nn.Parameter(torch.zeros(8)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(self.stem(x)) * self.scale
        return out


def test_source_lines_are_those_of_the_assignments() -> None:
    source = Assignments(Built())
    with open(__file__) as file:
        lines = file.read().splitlines()
    first = next(i for i, line in enumerate(lines, 1) if line.startswith("class Built"))

    def line(path: str) -> str:
        found = source(path)
        assert found is not None
        name, _, number = found.rpartition(":")
        assert name.endswith("test_facts.py")
        assert int(number) > first
        return lines[int(number) - 1].strip()

    assert line("stem.weight") == "self.stem = nn.Linear(8, 8)"
    assert line("body.0") == "nn.Linear(8, 8),"
    assert line("body.1") == "nn.ReLU(),"
    assert line("blocks.1.bias").startswith("self.blocks = nn.ModuleList")
    assert line("scale").startswith("self.scale")
    assert line("shift").startswith('self.register_parameter("shift"')
    assert source("") is None


def test_activation_is_where_its_module_is_built_or_where_forward_calls_the_function() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.module = nn.Tanh()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h: torch.Tensor = self.module(self.layer(x))
            return torch.maximum(h.softmax(-1), torch.zeros(()))

    (trace,) = facts_of(Both(), "detailed")
    with open(__file__) as file:
        lines = file.read().splitlines()
    found = {a.function: lines[int((a.source or ":0").rpartition(":")[2]) - 1].strip() for a in trace.activations}
    called = "return torch.maximum(h.softmax(-1), torch.zeros(()))"
    assert found == {"tanh": "self.module = nn.Tanh()", "softmax": called, "relu": called}


def built_by_a_factory() -> nn.Module:
    layers = [nn.Linear(8, 8), nn.Tanh()]
    return nn.Sequential(
        *layers,
        nn.ReLU(),
        nn.Linear(8, 2),
    )


def test_layers_that_no_class_assigns_are_where_the_factory_builds_them() -> None:
    with construction():
        model = built_by_a_factory()
    source = Assignments(model)
    with open(__file__) as file:
        lines = file.read().splitlines()

    def line(path: str) -> str:
        return lines[int((source(path) or ":0").rpartition(":")[2]) - 1].strip()

    assert line("0.weight") == "layers = [nn.Linear(8, 8), nn.Tanh()]"
    assert line("1") == line("2") == line("") == "return nn.Sequential("
    assert line("3") == line("3.bias") == "nn.Linear(8, 2),"
    assert Assignments(built_by_a_factory())("0") is None


def test_what_the_code_refers_to() -> None:
    source = Assignments(Built())
    assert source.referenced("stem")
    assert not source.referenced("blocks")
    assert not source.referenced("blocks.0.weight")
    assert not source.referenced("shift")


def test_base_of_a_framework_that_looks_through_all_layers_refers_to_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "framework_of_others.py").write_text(
        "from torch import nn\n"
        "class Framework(nn.Module):\n"
        "    def layer(self, name): return getattr(self, name)\n"
        "    def outputs(self, x): return self.named(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    framework = importlib.import_module("framework_of_others")

    class Net(framework.Framework):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.used, self.forgotten, self.named = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    class Own(Net):
        def pick(self, name: str) -> nn.Module:
            return getattr(self, name)  # type: ignore[no-any-return]

    source = Assignments(Net())
    assert source.referenced("used")
    assert not source.referenced("forgotten")
    assert source.referenced("named")
    assert Assignments(Private()).referenced("_Private__noise")
    assert not Assignments(Private()).referenced("_Private__other")
    assert Assignments(Own()).referenced("forgotten")


def test_the_bare_pass_sees_the_gradients_of_the_probe() -> None:
    """Of the same step of the zeros on the same samples."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), Gated(), nn.Linear(8, 2))
    nn.init.zeros_(model[1].weight)
    ((bare,), (whole,)) = (facts_of(model, fact) for fact in ("stirred", "woken"))
    assert {name: p.gradient for name, p in bare.parameters.items()} == {
        name: p.gradient for name, p in whole.parameters.items()
    }
    asleep = (bare.parameters[name].gradient for name in ("0.weight", "2.branch.weight"))
    assert all(gradient is not None and gradient.rms > 0 for gradient in asleep)
    assert not bare.layers and not bare.flow and whole.flow


class Cancelling(nn.Module):
    """The scores of the first layer are added to all entries of a softmax: it takes them out again, but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.shift, self.faint = nn.Linear(8, 8), nn.Linear(8, 1), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = (self.scores(x) + self.shift(x)).softmax(-1) + 1e-9 * self.faint(x)
        return out


def test_a_small_movement_of_the_weights_tells_rounding_from_a_small_gradient() -> None:
    torch.manual_seed(0)
    ((difference,),) = (one.differences for one in facts_of(Cancelling(), "jittered"))
    assert set(difference.names) == {"shift.weight", "shift.bias"}


class Times(nn.Module):
    """A layer behind a vector, by which it is multiplied or to which it is added."""

    def __init__(self, start: float, *, added: bool = False, fixed: bool = False) -> None:
        super().__init__()
        self.layer, self.head, self.added = nn.Linear(8, 8), nn.Linear(8, 2), added
        self.gate = nn.Parameter(torch.full((1, 8), start), requires_grad=not fixed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        out: torch.Tensor = self.head(h + self.gate if self.added else h * self.gate)
        return out


@pytest.mark.parametrize(
    ("model", "opens"),
    [
        (Times(1e-3), True),
        (Times(0.5), False),
        (Times(1e-3, added=True), False),
        (Times(1e-3, fixed=True), False),
    ],
    ids=["a gate", "open", "a shift", "a constant"],
)
def test_a_kick_opens_learnt_factors_near_zero(model: Times, opens: bool) -> None:
    before = model.gate.detach().clone()
    (kicked,) = facts_of(model, "kicked")
    assert (kicked.parameters["gate"].value.rms > 0.2) is (opens or float(before.max()) > 0.2)
    assert torch.equal(model.gate, before)


class Private(nn.Module):
    """Names with two underscores are longer than they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.__noise, self.__other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.__noise
