"""The rules on flow, ratios and balance, on flows and norms written down by hand, on each side of their bounds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from gradcheck_health import Trace, rules
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.evidence import Zeroed
from gradcheck_health.records.measurements import ActivationTrace, CutPoint, InputsTrace
from gradcheck_health.rules.analysis import flow
from gradcheck_health.rules.exploding_gradient import flow_limit as largest
from gradcheck_health.rules.vanishing_gradient import flow_limit as smallest
from tests.support.made_traces import falling, heard, layer, named, parameter, severities, stats, trace

VANISHING, EXPLODING, NORMS, BALANCE = "vanishing-gradient", "exploding-gradient", "norm-ratio", "unbalanced-gradient"
SGD, ADAM = 10**-4.1, 10**-8.5


def looked(
    *ratios: float, kicked: float | None = None, steps: float | None = None, wide: float | None = None, **parts: Any
) -> Trace:
    """One ratio for each seed; every fact shows the first of them where nothing else is said."""
    first, *others = ratios
    facts = {
        "woken": (trace(),),
        "kicked": (falling(first if kicked is None else kicked),),
        "after_steps": (*(falling(first),) * 3, falling(first if steps is None else steps)),
        "float64": (falling(first if wide is None else wide),),
        "detailed": (falling(first),),
        "reseeded": tuple(falling(other, varied=("batch",)) for other in others),
    }
    return falling(first, facts=facts, **{"rounds": len(ratios), **parts})


@pytest.mark.parametrize(("ratio", "asked"), [(0.99e-3, ["kicked"]), (1e-3, []), (1.0, [])])
def test_a_thousandth_is_measured_twice(ratio: float, asked: list[str]) -> None:
    assert heard(VANISHING, falling(ratio)) == ([], asked)
    assert heard(VANISHING, falling(ratio), optimizer="adam") == ([], [])


@pytest.mark.parametrize(
    ("ratio", "shrunk", "asked"),
    [
        (1e-5, 1e-5, []),  # one factor: half open it lets 0.5 through
        (1e-10, 1e-10, ["opened"]),  # up to ten factors, which leave 1e-3 of it then
        (3e-8, 1e-5, ["opened"]),
        (1e-5, 0.1, ["opened"]),
    ],
)
def test_what_small_factors_shrink_is_made_up_for(ratio: float, shrunk: float, asked: list[str]) -> None:
    whole = falling(ratio)
    points = (dataclasses.replace(whole.flow[0], shrunk=shrunk), *whole.flow[1:])
    weight = dataclasses.replace(parameter("layer0.weight", stats(1.0, 16)), shrunk=shrunk)
    seen = dataclasses.replace(whole, flow=points, parameters=named([weight]))
    assert heard(VANISHING, seen) == ([], asked)


@pytest.mark.parametrize(
    ("ratio", "options", "declared", "said"),
    [
        (0.99 * SGD, {}, "sgd", ["error"]),
        (1.01 * SGD, {}, "sgd", ["note"]),
        (0.99 * ADAM, {}, "adam", ["error"]),
        (1.01 * ADAM, {}, "adam", []),
        (0.99 * ADAM, {"optimizer": "adam"}, "sgd", ["error"]),
        (1.01 * ADAM, {"optimizer": "adam"}, "sgd", []),
        (0.99 * SGD, {"optimizer": "sgd"}, "adam", ["error"]),
        (0.99e-2, {"min_ratio": 1e-2}, "sgd", ["error"]),
        (1.01e-2, {"min_ratio": 1e-2}, "sgd", []),
        (0.99e-12, {"min_ratio": 1e-12}, "sgd", ["error"]),
        (1.01e-12, {"min_ratio": 1e-12}, "sgd", []),
    ],
)
def test_bound_of_each_optimizer(ratio: float, options: dict[str, Any], declared: str, said: list[str]) -> None:
    seen = looked(ratio, declared=Declared(optimizer=declared))
    assert severities(VANISHING, seen, **options) == said
    bound = options.get("min_ratio", SGD if options.get("optimizer", declared) == "sgd" else ADAM)
    assert smallest(seen, **options) == pytest.approx(bound)
    for finding in heard(VANISHING, seen, **options)[0]:
        assert finding.got == pytest.approx(ratio) and finding.bound == pytest.approx(bound if said == ["error"] else 1e-3)
        assert ("slow for plain SGD" in finding.message) is (said == ["note"])


@pytest.mark.parametrize("condition", ["kicked", "steps"])
def test_what_wakes_up_is_no_error(condition: str) -> None:
    """The largest of the ratios counts: at the given weights, perturbed ones and three steps on."""
    assert severities(VANISHING, looked(1e-6, **{condition: 2e-3})) == []
    assert severities(VANISHING, looked(1e-6, **{condition: 1e-3})) == []
    assert severities(VANISHING, looked(1e-6, **{condition: 0.9e-3})) == ["note"]
    assert severities(VANISHING, looked(1e-6, **{condition: 7e-5})) == ["error"]
    assert severities(EXPLODING, looked(1e6, **{condition: 1e4})) == []
    assert severities(EXPLODING, looked(1e6, **{condition: 2.1e4})) == ["error"]


def test_facts_are_asked_for_one_after_the_other() -> None:
    for rule, ratio, order in (
        (VANISHING, 1e-6, [["kicked"], ["after_steps"], ["reseeded"], ["detailed", "float64"]]),
        (EXPLODING, 1e6, [["kicked"], ["after_steps"], ["reseeded"], ["detailed"]]),
    ):
        whole, held = looked(ratio, ratio), dict[str, Any]()
        for wanted in order:
            assert heard(rule, dataclasses.replace(whole, facts=held)) == ([], wanted)
            held |= {fact: whole.facts[fact] for fact in wanted}
        assert severities(rule, dataclasses.replace(whole, facts=held)) == ["error"]


def test_more_seeds_are_wanted_while_they_do_not_agree() -> None:
    apart = looked(1e-6, 1e-3, rounds=5)
    needs = list(rules.builtin()[VANISHING](apart))
    assert [(need.fact, need.more) for need in needs] == [("reseeded", True)]  # type: ignore[union-attr]
    assert list(rules.builtin()[EXPLODING](looked(1e6, 1e2, rounds=5))) == needs
    assert severities(VANISHING, looked(1e-6, 1e-3)) == ["note"]  # as many as are allowed, and not sure
    assert severities(VANISHING, looked(1e-6, 1.1e-6)) == ["error"]
    assert severities(EXPLODING, looked(1e6, 1e2)) == []
    same = looked(1e-6, 1e-6, rounds=5)
    frozen = {**same.facts, "reseeded": (falling(1e-6, varied=()),)}
    assert not flow.undecided(dataclasses.replace(same, facts=frozen), SGD)  # another seed changes nothing
    assert not flow.undecided(falling(1e-6, rounds=1), SGD) and flow.undecided(falling(1e-6, rounds=2), SGD)


@pytest.mark.parametrize(
    ("wide", "said"),
    [(1e-6, ["error"]), (1.01 * SGD, ["note"]), (0.99 * SGD, ["error"]), (0.99e-10, []), (1.01e-10, ["error"])],
)
def test_float64_has_to_agree(wide: float, said: list[str]) -> None:
    """It has to lie below the bound, too; and what it shrinks ten thousandfold was rounding."""
    assert severities(VANISHING, looked(1e-6, wide=wide)) == said


def test_an_exact_zero_counts_where_float32_has_no_smaller_number() -> None:
    assert severities(VANISHING, looked(0.0, wide=1e-60)) == ["error"]
    assert severities(VANISHING, looked(0.0, wide=0.0)) == []
    whole = looked(0.0, wide=1e-60)
    for how, needs in (("factor", []), ("single", []), ("stopped", ["float64"]), ("flat", ["float64"])):
        zeroed = (falling(0.0, zeroed=(Zeroed("mul", "layer0", None, how, ("a",)),)),)
        facts = {**whole.facts, "detailed": zeroed}
        del facts["float64"]
        assert heard(VANISHING, dataclasses.replace(whole, facts=facts)) == ([], needs)
    held = {fact: whole.facts[fact] for fact in ("woken", "kicked", "after_steps")}
    assert heard(VANISHING, dataclasses.replace(whole, facts=held)) == ([], ["detailed"])
    del held["woken"]
    assert heard(VANISHING, dataclasses.replace(whole, facts=held)) == ([], ["woken"])
    awake = {"woken": (falling(2e-3),)}  # one step of the zeros says that it was their initialisation
    assert heard(VANISHING, dataclasses.replace(whole, facts=awake)) == ([], [])


def growing(gradient: float, *outputs: float | None, op: str = "Addmm") -> Trace:
    points = tuple(CutPoint(f"layer{i}", op, gradient ** (1 - i), output) for i, output in enumerate(outputs))
    return trace(flow=points, layers=named([layer(f"layer{i}") for i in range(len(outputs))]))


@pytest.mark.parametrize(
    ("outputs", "limit"),
    [
        ((1.0, 10.1), 1e3),
        ((1.0, 9.9), 10**4.3),
        ((1.0, 10.0), 10**4.3),
        ((None, 20.0), 10**4.3),
        ((1.0, None), 10**4.3),
        ((0.1, 1.01), 1e3),
    ],
)
def test_growth_of_the_signal_lowers_the_bound(outputs: tuple[float | None, ...], limit: float) -> None:
    assert largest(growing(2.0, *outputs)) == pytest.approx(limit)
    assert heard(EXPLODING, growing(limit * 1.01, *outputs)) == ([], ["kicked"])
    assert heard(EXPLODING, growing(limit * 0.99, *outputs)) == ([], [])
    assert largest(growing(2.0, *outputs), max_ratio=7.0) == 7.0


def test_every_batch_norm_may_grow_by_its_own_rate() -> None:
    """sqrt(pi / (pi - 1)) each, by the mean field theory of batch normalisation."""
    rate = math.sqrt(math.pi / (math.pi - 1))
    assert largest(growing(2.0, 1.0, 1.0, 1.0, op="NativeBatchNorm")) == pytest.approx(10**4.3 * rate**3)


def test_bounds_of_pictures_are_those_of_the_rules() -> None:
    """The two rules on flow set one; with an option that a person set it is that."""
    chosen = {name: rules.builtin()[name] for name in (VANISHING, EXPLODING, NORMS)}
    found = rules.flow_limits(chosen, {VANISHING: {"min_ratio": 0.5}}, falling(1.0))
    assert found == {VANISHING: 0.5, EXPLODING: pytest.approx(10**4.3)}


def relative(*entries: tuple[str, float, float], batch: int | None = 16, **parts: Any) -> Trace:
    """Weights by name, norm of the gradient, norm of the value."""
    weights = [parameter(name, stats(gradient), value=stats(value)) for name, gradient, value in entries]
    return trace(parameters=named(weights), inputs=InputsTrace("", "given", False, batch), **parts)


def test_relative_size_of_a_gradient() -> None:
    """|gradient| / (sqrt(batch) |weight|)."""
    seen = relative(
        ("a.weight", 8.0, 1.0), ("b.weight", 40.0, 2.0), ("c.weight", 3.9, 1.0), ("d.bias", 99.0, 1.0), ("e.weight", 9.0, 0.0)
    )
    (found,), _ = heard(EXPLODING, seen, max_relative=1.0)
    assert found.names == ("b.weight", "a.weight")
    assert found.got == pytest.approx(5.0) and found.bound == 1.0
    assert [place.note for place in found.places] == ["5 x", "2 x"]
    assert severities(EXPLODING, relative(("a.weight", 4.0, 1.0)), max_relative=1.0) == []
    assert severities(EXPLODING, relative(("a.weight", 4.1, 1.0)), max_relative=1.0) == ["error"]
    assert severities(EXPLODING, relative(("a.weight", 1.1, 1.0), batch=None), max_relative=1.0) == ["error"]
    assert severities(EXPLODING, relative(("a.weight", 0.9, 1.0), batch=None), max_relative=1.0) == []
    assert severities(EXPLODING, relative(("a.weight", 99.0, 1.0), objective="random projection"), max_relative=1.0) == []
    assert severities(EXPLODING, seen) == []
    missing = trace(
        parameters=named([parameter("a.weight", None), parameter("b.weight", dataclasses.replace(stats(9.0), nan=1))])
    )
    assert severities(EXPLODING, missing, max_relative=0.1) == []


def normed(*rms: float, **parts: Any) -> Trace:
    weights = [parameter(f"layer{i}.weight", stats(value * 4, 16), source=f"model.py:{i}") for i, value in enumerate(rms)]
    layers = [layer(f"layer{i}", output_gradient=stats(value * 2, 4), source=f"model.py:9{i}") for i, value in enumerate(rms)]
    outer = [layer("", kind="Net", output_gradient=stats(1e9)), layer("layer0.inner"), layer("last", output_gradient=None)]
    seen = trace(parameters=named(weights), layers=named([*outer, *layers]))
    return dataclasses.replace(seen, facts={"detailed": (seen,)}, **parts)


@pytest.mark.parametrize(
    ("options", "names", "got", "bound"),
    [
        ({"min": 0.01}, [], None, None),
        ({"min": 0.0101}, ["layer1.weight"], 0.01, 0.0101),
        ({"max": 5.0}, [], None, None),
        ({"max": 4.9}, ["layer0.weight"], 5.0, 4.9),
        ({"min": 0.1, "max": 3.0}, ["layer0.weight", "layer1.weight"], 5.0, 3.0),
        ({"min": 6.0}, ["layer0.weight", "layer1.weight", "layer2.weight"], 5.0, 6.0),
        ({"max": 0.0, "layers": "layer[12].*"}, ["layer1.weight", "layer2.weight"], 0.01, 0.0),
        ({"max": 4.9, "of": "activation", "layers": "layer[12]"}, [], None, None),
        ({"min": 0.1, "of": "activation"}, ["layer1"], 0.01, 0.1),
    ],
)
def test_norms_are_compared_with_the_last(
    options: dict[str, Any], names: list[str], got: float | None, bound: float | None
) -> None:
    """5, 0.01 and 1 times it; a layer with layers inside, and the model, are not compared."""
    found, needs = heard(NORMS, normed(10.0, 0.02, 2.0), **options)
    assert needs == [] and [name for one in found for name in one.names] == names
    for one in found:
        assert (one.got, one.bound) == (pytest.approx(got), bound)
        assert all(place.source and place.source.startswith("model.py:") for place in one.places)
        assert f", {len(names)} in all" in one.message


def test_norms_without_a_last_one_are_not_compared() -> None:
    assert severities(NORMS, normed(10.0), min=100.0) == []
    assert severities(NORMS, normed(10.0, 0.0), max=1.0) == []
    assert severities(NORMS, normed(10.0, 2.0)) == []
    broken = normed(10.0, 3.0, 1.0)
    inf = dataclasses.replace(broken.parameters["layer0.weight"], gradient=dataclasses.replace(stats(9.0), inf=1))
    assert severities(NORMS, dataclasses.replace(broken, parameters={**broken.parameters, "layer0.weight": inf}), max=4.0) == []
    assert heard(NORMS, dataclasses.replace(normed(10.0, 2.0), facts={}), max=1.0) == ([], ["detailed"])


def balanced(*elasticities: float, later: tuple[float, ...] = (), names: str = "blocks.{}.fc.weight", **parts: Any) -> Trace:
    def one(values: tuple[float, ...]) -> dict[str, Any]:
        weights = [parameter(names.format(i), stats(value / 3), value=stats(3.0), **parts) for i, value in enumerate(values)]
        return {"parameters": named(weights)}

    steps = trace(**one(later or elasticities))
    asleep = trace(**one((1.0,) * len(elasticities)))  # before the first step
    facts = {"kicked": (trace(**one(elasticities)),), "after_steps": (asleep, steps, steps, steps, asleep)}
    seen = trace(**one(elasticities))
    return dataclasses.replace(seen, facts={**facts, "detailed": (seen,)})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((1.0, 2990.0), []),
        ((1.0, 3010.0), ["warning"]),
        ((1.0, 54.0, 3010.0), ["warning"]),  # 55.7 is more than half of it, on a log scale
        ((1.0, 10.0, 100.0, 3010.0), []),
        ((1.0, 0.0, 2.0), []),  # an elasticity of zero is another rule's
    ],
)
def test_three_thousand_times_in_steps_of_half(values: tuple[float, ...], said: list[str]) -> None:
    assert severities(BALANCE, balanced(*values)) == said


def test_own_bound_on_balance_is_an_error() -> None:
    seen = balanced(1.0, 8.0)
    assert severities(BALANCE, seen, max_ratio=8.0) == []
    assert severities(BALANCE, seen, max_ratio=7.9) == ["error"]
    (found,), _ = heard(BALANCE, balanced(1.0, 2.0, 16.0), max_ratio=7.9)
    assert found.got == 16.0 and found.names == ("blocks.0.fc.weight", "blocks.1.fc.weight")
    (found,), _ = heard(BALANCE, balanced(1.0, 2.1, 16.0), max_ratio=7.9)
    assert found.names == ("blocks.0.fc.weight",)


def test_a_branch_that_grows_in_the_first_steps_is_balanced() -> None:
    assert severities(BALANCE, balanced(1.0, 1e6, later=(1.0, 2990.0))) == []
    (found,), _ = heard(BALANCE, balanced(1.0, 1e6, later=(1.0, 3010.0)))
    assert found.got == pytest.approx(3010.0)
    whole = balanced(1.0, 1e6)
    for held in ((), ("kicked",), ("kicked", "after_steps")):
        facts = {fact: whole.facts[fact] for fact in held}
        (wanted,) = heard(BALANCE, dataclasses.replace(whole, facts=facts))[1]
        assert wanted == ("nudged", "after_steps", "detailed")[len(held)]
    for least, asked in (
        (1001.0, ["kicked"]),
        (999.0, []),
    ):  # a few samples say less: a third of the bound is left to the whole
        (few,) = balanced(1.0, least).facts["kicked"]
        assert heard(BALANCE, dataclasses.replace(whole, facts={"nudged": (few,)})) == ([], asked)


def test_who_plays_the_same_part() -> None:
    assert severities(BALANCE, balanced(1.0, 1e6, names="a{}.weight")) == ["warning"]
    assert severities(BALANCE, balanced(1.0, 1e6, names="fc.weight{}")) == []  # numbers of a parameter are part of its name
    assert severities(BALANCE, balanced(1.0, 1e6, trainable=False)) == []
    assert severities(BALANCE, balanced(1.0, 1e6, role="bias")) == []
    towers = [("user.stem.0.weight", 1.0), ("item.stem.0.weight", 1e6)]
    heads = [parameter(f"{side}.head.weight", stats(1.0)) for side in ("user", "item")]
    weights = named([*(parameter(name, stats(value)) for name, value in towers), *heads])
    branches = named([layer(name, kind=kind) for name, kind in (("user", "Tower"), ("item", "Tower"))])
    assert heard(BALANCE, trace(parameters=weights, layers=branches)) == ([], ["nudged"])
    other = {**branches, "item": layer("item", kind="Other")}
    assert heard(BALANCE, trace(parameters=weights, layers=other)) == ([], [])
    alone = {name: one for name, one in weights.items() if "head" not in name}  # queries beside values, each with its norm
    assert heard(BALANCE, trace(parameters=alone, layers=branches)) == ([], [])
    sides = (("user.stem", 1.0), ("item.stem", 1e6), ("user.head", 1.0), ("item.head", 1.0))
    deep = named([parameter(f"model.{side}.weight", stats(value)) for side, value in sides])
    inner = named([layer(f"model.{side}", kind="Tower") for side in ("user", "item")])
    assert heard(BALANCE, trace(parameters=deep, layers=inner)) == ([], ["nudged"])


def chain(*rates: float, op: str = "Addmm", merges: tuple[int, ...] = ()) -> tuple[CutPoint, ...]:
    """From the first layer on; each rate is what the next one back keeps."""
    norms = [1.0]
    for rate in rates:
        norms.append(norms[-1] * rate)
    return tuple(CutPoint(f"layer{i}", op, norm, merges=i in merges) for i, norm in reversed(list(enumerate(norms))))


@pytest.mark.parametrize(
    ("rates", "shape"),
    [
        ((0.1,) * 8, "exponential"),
        ((3.0,) * 8, "exponential"),
        ((0.1,), "step"),
        ((), "step"),
        ((0.5, 2.0, 0.5, 2.0), "step"),  # nothing in all
        ((1e-5, 0.1, 0.1, 0.1), "step"),
        ((1e-3, 0.1, 0.1, 0.1), "irregular"),  # exactly half of it in one is no step; 2 decades a step against 1
        ((0.1, 0.1, 10**-0.49, 10**-0.49), "irregular"),
        ((0.1, 0.1, 10**-0.51, 10**-0.51), "exponential"),
        ((10**-0.51, 10**-0.51, 0.1, 0.1), "exponential"),
        ((0.1, 0.1, 0.1, 1.1, 1.1, 1.1), "irregular"),
        ((0.1, 0.1, 10**-0.55, 10**-0.55, 10**-0.55), "exponential"),
    ],
)
def test_shape_is_by_the_rates_of_the_halves(rates: tuple[float, ...], shape: str) -> None:
    assert flow.shape(chain(*rates)) == shape


@pytest.mark.parametrize(("keeps", "off"), [(0.09, True), (0.1, False), (0.11, False), (0.0, False)])
def test_a_stretch_that_passes_little_of_a_merge_branches_off(keeps: float, off: bool) -> None:
    points = chain(0.5, keeps, 0.5, merges=(1,))
    assert [stretch.branches_off for stretch in flow.stretches(points)] == [False, off, False]
    assert flow.ratio(trace(flow=points)) == pytest.approx(0.25 if off else 0.25 * keeps)
    blame = flow.blame(points)
    assert blame is not None and ("layer1" in {culprit.point.layer for culprit in blame.culprits}) is not off


@pytest.mark.parametrize(
    ("keeps", "kept"),
    [
        ((1e-3, 1e5, 1.0), 100.0),  # a flat softmax, and the norm of the keys behind it: what arrives, not 1e5
        ((1e-3, 1e2, 1.0), 1.0),  # nothing grows and nothing shrinks
        ((1e-3, 1e-2, 1.0), 1e-2),  # what shrinks is excused for the softmax
        ((1e-3, 1.0, 1e5), 100.0),
    ],
)
def test_what_branches_off_excuses_a_gradient_that_shrinks_and_makes_none_that_grows(
    keeps: tuple[float, ...], kept: float
) -> None:
    points = chain(*keeps, merges=(0,))
    assert flow.ratio(trace(flow=points)) == pytest.approx(kept)


@pytest.mark.parametrize(("ratio", "fades"), [(1.01e-4, False), (0.99e-4, True), (0.99e4, False), (1.01e4, True)])
def test_fading_is_ten_thousand_times_over_many_layers(ratio: float, fades: bool) -> None:
    points = chain(*(ratio**0.1,) * 10)
    assert flow.fades(trace(flow=points)) is fades
    assert flow.fades(trace(flow=chain(ratio, *(1.0,) * 9))) is False
    assert flow.fades(trace()) is False


@pytest.mark.parametrize(
    ("wide", "rounding"), [((1.01e-10,), False), ((0.99e-10,), True), ((0.99e-10, 1.01e-10), False), ((), False)]
)
def test_rounding_shrinks_ten_thousandfold(wide: tuple[float, ...], rounding: bool) -> None:
    facts = {"float64": tuple(falling(value) for value in wide)}
    assert flow.is_rounding(falling(1e-6, facts=facts)) is rounding


@pytest.mark.parametrize(("off", "rounding"), [(16, True), (15, False)])
def test_a_zero_that_stays_one_is_rounding_where_something_is_normalised_over_one_value(off: int, rounding: bool) -> None:
    alone = ActivationTrace("norm", "layer_norm", 0, 16, 64, off=off)
    facts = {"float64": (falling(0.0),)}
    assert flow.is_rounding(falling(0.0, facts=facts, activations=(alone,))) is rounding
    assert flow.is_rounding(falling(0.0, facts={"float64": (falling(1e-9),)}, activations=(alone,))) is False


def test_blame_counts_what_takes_part() -> None:
    """A culprit changes the norm by more than 0.02 decades; layers without weights are products."""
    points = chain(10**-0.021, 10**-0.019, 10**-1.0)
    blame = flow.blame(points)
    assert blame is not None and [s.point.layer for s in blame.culprits] == ["layer0", "layer2"]
    assert blame.share == pytest.approx(1.0) and blame.keeps == pytest.approx(10 ** (-1.021 / 2))
    assert flow.blame(points, growing=True) is None
    without = flow.blame(points, weighted={"layer0"})
    assert without is not None and (without.op, without.share) == ("product", pytest.approx(1.019 / 1.04))


def test_log_of_zero_is_a_very_small_number() -> None:
    assert flow.log10(0.0) == pytest.approx(-300.0)
    assert flow.log10(100.0) == pytest.approx(2.0)
    assert flow.log10(1e-299) == pytest.approx(-299.0)
