"""The rules on units and weights, on counts written down by hand, on each side of their bounds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from gradcheck_health import Trace
from gradcheck_health.records.evidence import ForeignLeaf, OneSided, Twins
from gradcheck_health.records.measurements import ActivationTrace, InputsTrace, TensorStats
from gradcheck_health.rules.analysis import statistics
from tests.support.made_traces import falling, heard, layer, named, parameter, severities, stats, trace, units

DEAD, SATURATED, EQUAL, FOREIGN, MISSING = (
    "dead-unit",
    "saturated-activation",
    "identical-units",
    "unregistered-parameter",
    "missing-gradient",
)


def seen(*activations: ActivationTrace, later: int | None = None, **parts: Any) -> Trace:
    """The same under every condition; `later`: so many units are still off at a perturbed point and after the first step."""
    bare = trace(activations=activations, layers=named([layer("fc", source="model.py:1"), layer("act", kind="ReLU")]), **parts)
    moved = [dataclasses.replace(a, off=a.off if later is None else later) for a in activations]
    there = dataclasses.replace(bare, activations=tuple(moved))
    facts = {"more_samples": (bare,), "kicked": (there,), "after_steps": (bare, there, there, there), "detailed": (bare,)}
    return dataclasses.replace(bare, facts=facts)


def relu(units_: int, off: int, **parts: Any) -> ActivationTrace:
    return units("act", "relu", units_, off=off, **{"producer": "fc", "lean": -50.0, **parts})


def proven(count: int, bound: float) -> int:
    """How many of the units have to be off for 99 % certainty: the smallest k whose tail under `bound` is below 1 %."""

    def tail(k: int) -> float:
        return sum(math.comb(count, i) * bound**i * (1 - bound) ** (count - i) for i in range(k, count + 1))

    return next((k for k in range(count + 1) if tail(k) < 0.01), count + 1)


@pytest.mark.parametrize("count", [20, 100, 256])
def test_dead_is_proven_by_an_exact_binomial_test(count: int) -> None:
    half, most = proven(count, 0.5), proven(count, 0.95)
    assert severities(DEAD, seen(relu(count, half - 1))) == []
    assert severities(DEAD, seen(relu(count, half))) == ["warning"]
    if most < count:
        assert severities(DEAD, seen(relu(count, most - 1))) == ["warning"]
        assert severities(DEAD, seen(relu(count, most))) == ["error"]
    assert severities(DEAD, seen(relu(count, count))) == ["error"]


def test_a_whole_layer_is_dead_however_few_units_it_has() -> None:
    assert severities(DEAD, seen(relu(16, 16))) == ["error"]
    few = trace(activations=(relu(16, 8),))
    assert heard(DEAD, few) == ([], [])  # half is allowed
    assert heard(DEAD, trace(activations=(relu(16, 16),))) == ([], ["more_samples"])
    assert severities(DEAD, seen(relu(100, 80)), max_fraction=0.8) == []
    assert severities(DEAD, seen(relu(100, 80)), max_fraction=0.6) == ["error"]


@pytest.mark.parametrize("count", [16, 40, 100])
def test_more_samples_are_asked_for_only_where_they_may_lead_to_a_finding(count: int) -> None:
    """They wake units and put none to sleep: what no number of sleepers up to this one says dead is not asked about."""
    said = [bool(severities(DEAD, seen(relu(count, off)))) for off in range(count + 1)]
    for off in range(count + 1):
        asked = heard(DEAD, trace(activations=(relu(count, off),))) == ([], ["more_samples"])
        assert asked == any(said[: off + 1])


def test_units_that_are_always_on_speak_against_it() -> None:
    half = proven(100, 0.5)
    assert severities(DEAD, seen(relu(100, half, on=0))) == ["warning"]
    assert severities(DEAD, seen(relu(100, half, on=10))) == []
    assert severities(DEAD, seen(relu(100, 90, on=10))) == ["warning"]


@pytest.mark.parametrize(
    ("off", "on", "lean", "chance"),
    [
        (14, 0, 3.0, False),  # all on one side: 2^-14 < 1e-4
        (13, 0, 3.0, True),  # 2^-13 > 1e-4
        (13, 0, -3.0, True),
        (13, 0, -9.0, False),  # t = 9 with 12 degrees of freedom
        (13, 0, -5.2, True),  # one in ten thousand is at 5.26
        (13, 0, -5.35, False),
        (13, 0, 9.0, True),
    ],
)
def test_chance_deaths_lie_on_both_sides_of_zero(off: int, on: int, lean: float, chance: bool) -> None:
    """The whole layer, so that a share decides nothing."""
    assert severities(DEAD, seen(relu(off, off, on=on, lean=lean))) == ([] if chance else ["error"])


def test_printed_quantile_that_the_test_above_stands_on() -> None:
    """Student's t with 12 degrees of freedom, one-sided."""
    assert statistics.student_tail(3.055, 12) == pytest.approx(0.005, rel=2e-3)
    assert statistics.student_tail(4.318, 12) == pytest.approx(0.0005, rel=2e-3)
    assert statistics.student_tail(5.263, 12) == pytest.approx(1e-4, rel=2e-3)


@pytest.mark.parametrize(("samples", "made_up", "said"), [(255, True, []), (256, True, ["error"]), (8, False, ["error"])])
def test_made_up_samples_have_to_be_many(samples: int, made_up: bool, said: list[str]) -> None:
    """Of 256 that were fed an expert may have seen fewer."""
    fed = InputsTrace("float32", "made up", made_up, 256 if made_up else samples)
    assert severities(DEAD, seen(relu(100, 100, samples=samples), inputs=fed)) == said


@pytest.mark.parametrize("rule", [DEAD, SATURATED])
def test_more_samples_are_asked_for_until_they_are_many(rule: str) -> None:
    fed = InputsTrace("float32", "made up", True, 64)
    off = relu(100, 100, samples=64) if rule == DEAD else units("act", "tanh", 100, saturated=100, producer="fc", samples=64)
    assert heard(rule, seen(off, inputs=fed)) == ([], ["more_samples"])
    few = dataclasses.replace(off, off=0, saturated=0)
    bare = seen(off, inputs=fed)
    awake = dataclasses.replace(bare, facts={**bare.facts, "more_samples": (seen(few, inputs=fed),)})
    assert heard(rule, awake) == ([], [])


@pytest.mark.parametrize(("later", "said"), [(80, []), (81, ["error"]), (0, [])])
def test_units_that_a_step_wakes_up_are_not_dead(later: int, said: list[str]) -> None:
    """Fewer than four fifths are still off."""
    assert severities(DEAD, seen(relu(100, 100), later=later)) == said


@pytest.mark.parametrize(("later", "said"), [(50, []), (60, ["warning"])])
def test_units_that_fall_below_the_bound_are_not_dead(later: int, said: list[str]) -> None:
    assert severities(DEAD, seen(relu(100, 70), later=later)) == ([] if later <= 56 else said)


def test_facts_on_units_are_asked_for_in_turn() -> None:
    for rule, one, order in (
        (DEAD, relu(100, 100), ["more_samples", "kicked", "after_steps", "detailed"]),
        (SATURATED, units("act", "tanh", 100, saturated=100, producer="fc"), ["more_samples", "detailed"]),
    ):
        whole, held = seen(one), dict[str, Any]()
        for fact in order:
            assert heard(rule, dataclasses.replace(whole, facts=held)) == ([], [fact])
            held[fact] = whole.facts[fact]
        assert len(severities(rule, dataclasses.replace(whole, facts=held))) == 1


def test_who_has_units() -> None:
    assert (
        severities(
            DEAD,
            trace(activations=(units("act", "tanh", 9, off=9), units("act", "softmax", 9, off=9), units("act", "relu", 0))),
        )
        == []
    )
    for pattern, said in (("act", ["error"]), ("fc", ["error"]), ("other*", [])):
        assert severities(DEAD, seen(relu(100, 100)), layers=pattern) == said
        shut = units("act", "tanh", 100, off=100, producer="fc")
        assert severities(SATURATED, seen(shut), layers=pattern) == said


def test_places_of_units_are_their_layer_and_what_applies_the_function() -> None:
    (found,), _ = heard(DEAD, seen(relu(100, 90, source="model.py:8"), relu(100, 0, layer="other")))
    assert [(p.name, p.kind, p.source, p.note) for p in found.places] == [
        ("fc", "Linear", "model.py:1", "relu, 90 of 100 off"),
        ("act", "ReLU", "model.py:8", ""),
    ]
    assert "90% of the units of fc are dead (at most 50% allowed)" in found.message
    assert "at every one of 256 samples" in dict(found.details)["because"]
    for same in ("", "fc"):  # applied by the model itself, or where the units are
        (found,), _ = heard(DEAD, seen(relu(100, 90, layer=same)))
        assert found.names == ("fc",)
    (found,), _ = heard(DEAD, seen(relu(100, 90, layer="block", producer="block.fc")))
    assert found.names == ("block.fc",)
    (found,), _ = heard(DEAD, seen(relu(100, 60), relu(100, 70, producer="deep")))
    assert found.got == 0.7


def tanh(units_: int, flat: int, **parts: Any) -> ActivationTrace:
    return units("act", "tanh", units_, saturated=flat, producer="fc", **parts)


@pytest.mark.parametrize("count", [20, 100])
def test_saturation_is_proven_by_the_same_test(count: int) -> None:
    half = proven(count, 0.5)
    assert severities(SATURATED, seen(tanh(count, half - 1))) == []
    assert severities(SATURATED, seen(tanh(count, half))) == ["warning"]
    assert severities(SATURATED, seen(tanh(count, half)), max_fraction=0.5) == ["error"]
    assert severities(SATURATED, seen(tanh(count, count, one_sided=True))) == []
    assert heard(SATURATED, trace(activations=(tanh(count, count // 2),))) == ([], [])
    assert heard(SATURATED, trace(activations=(tanh(count, count // 2 + 1),))) == ([], ["more_samples"])


@pytest.mark.parametrize(
    ("ratio", "flat", "off", "said"),
    [
        (0.99 * 10**-4.1, 96, 0, "error"),
        (1.01 * 10**-4.1, 96, 0, "warning"),
        (0.99 * 10**-4.1, 95, 0, "warning"),
        (None, 96, 0, "warning"),
        (None, 96, 95, "warning"),
        (None, 96, 96, "error"),
    ],
)
def test_saturation_is_an_error_where_nothing_comes_through(ratio: float | None, flat: int, off: int, said: str) -> None:
    one = seen(tanh(100, flat, off=off), flow=() if ratio is None else falling(ratio).flow)
    assert severities(SATURATED, one) == [said]


def test_rows_of_a_softmax_are_not_units() -> None:
    rows = units("act", "softmax", 100, saturated=90, off=96)
    (found,), _ = heard(SATURATED, seen(rows))
    assert str(found.severity) == "warning" and found.got == 0.9
    assert found.places[0].note == "softmax, 90 of 100 rows" and "sqrt(d)" in dict(found.details)["help"]
    assert severities(SATURATED, seen(units("act", "softmax", 3, saturated=3, off=3))) == []  # three rows prove nothing
    (found,), _ = heard(SATURATED, seen(units("act", "sigmoid", 3, saturated=1, off=3)))
    assert found.got == 1.0 and found.places[0].note == "sigmoid, 3 of 3 units"
    assert severities(SATURATED, seen(units("act", "sigmoid", 3, saturated=3, off=2))) == []
    (found,), _ = heard(SATURATED, seen(tanh(100, 80), tanh(1000, 90), tanh(100, 90, layer="second")))
    assert (found.got, found.names) == (0.9, ("fc", "act", "fc", "second"))


def equal(
    units_: int, alike: int, *, again: Twins | None = None, value: TensorStats | None = None, silent: bool = False
) -> Trace:
    weight = parameter("fc.weight", stats(1.0, 16), value=value or stats(2.0, 16), source="model.py:5")
    first = Twins("fc.weight", units_, alike, silent)
    known = {"parameters": named([weight])}
    step = trace(**known, twins=(again or dataclasses.replace(first, silent=False),))
    facts = {"woken": (trace(),), "after_steps": (step,) * 3, "detailed": (trace(**known),)}
    return trace(**known, twins=(first,), facts=facts)


@pytest.mark.parametrize(
    ("units_", "alike", "said"), [(8, 3, []), (8, 4, ["error"]), (8, 8, ["error"]), (9, 4, []), (9, 5, ["error"])]
)
def test_half_of_the_units_alike_are_too_many(units_: int, alike: int, said: list[str]) -> None:
    assert severities(EQUAL, equal(units_, alike)) == said


def test_another_batch_has_to_agree_on_what_is_alike() -> None:
    assert severities(EQUAL, equal(8, 8, again=Twins("fc.weight", 8, 0))) == []
    assert severities(EQUAL, equal(8, 0, silent=True)) == []
    (found,), _ = heard(EQUAL, equal(8, 0, silent=True, again=Twins("fc.weight", 8, 6)))
    assert found.got == 6.0 and "6 of 8 units of fc.weight" in found.message
    assert found.places[0].source == "model.py:5" and found.places[0].note == "6 of 8 alike"
    waking = equal(8, 0, silent=True)
    steps = [
        trace(parameters=waking.parameters, twins=(twin,)) for twin in (Twins("fc.weight", 8, 8), Twins("fc.weight", 8, 0))
    ]
    first = dataclasses.replace(waking, facts={**waking.facts, "after_steps": tuple(steps)})
    assert severities(EQUAL, first) == []  # alike at first, and told apart by the step after that
    asleep = dataclasses.replace(waking, facts={})
    assert heard(EQUAL, asleep) == ([], ["woken"])
    told_apart = dataclasses.replace(asleep, facts={"woken": (trace(parameters=waking.parameters),)})
    assert heard(EQUAL, told_apart) == ([], [])
    silent = trace(parameters=waking.parameters, twins=(Twins("fc.weight", 8, 0, silent=True),))
    assert heard(EQUAL, dataclasses.replace(asleep, facts={"woken": (silent,)})) == ([], ["after_steps"])
    bare = equal(8, 8)
    assert heard(EQUAL, dataclasses.replace(bare, facts={})) == ([], ["after_steps"])
    assert heard(EQUAL, dataclasses.replace(bare, facts={"after_steps": bare.facts["after_steps"]})) == ([], ["detailed"])


@pytest.mark.parametrize(
    ("size", "because"),
    [
        (0.5, "all their entries are 0.5 in size"),
        (0.0, "all their entries are zero"),
        (None, "their rows are copies of each other"),
    ],
)
def test_a_constant_is_called_one(size: float | None, because: str) -> None:
    alike = equal(8, 8)
    (twin,) = alike.twins
    (found,), _ = heard(EQUAL, dataclasses.replace(alike, twins=(dataclasses.replace(twin, size=size),)))
    assert dict(found.details)["because"].startswith(because)


def copies(*values: float, gradients: tuple[float, ...] = (), later: tuple[float, ...] = (), **parts: Any) -> Trace:
    def one(pulls: tuple[float, ...]) -> dict[str, Any]:
        pairs = zip(values, pulls, strict=True)
        weights = [
            parameter(f"m{i}.weight", stats(pull, 16), value=stats(value, 16), **parts) for i, (value, pull) in enumerate(pairs)
        ]
        return {"parameters": named(weights)}

    same = gradients or (1.0,) * len(values)
    steps = (trace(**one(later or same)),) * 3
    return trace(**one(same), facts={"after_steps": steps, "detailed": (trace(**one(same)),)})


def test_weights_that_are_copies_of_one_another() -> None:
    (found,), _ = heard(EQUAL, copies(1.0, 1.0, 1.0, 2.0))
    assert found.names == ("m0.weight", "m1.weight", "m2.weight") and found.got == 3.0
    assert "m0.weight, m1.weight, m2.weight hold" in dict(found.details)["because"]
    (found,), _ = heard(EQUAL, copies(*(1.0,) * 6))
    assert "m0.weight, m1.weight, m2.weight, m3.weight hold" in dict(found.details)["because"]
    assert severities(EQUAL, copies(1.0, 1.001)) == []
    assert severities(EQUAL, copies(1.0, 1.0, gradients=(1.0, 1.001))) == []
    assert severities(EQUAL, copies(1.0, 1.0, gradients=(1.0, 1.00001))) == ["error"]
    assert severities(EQUAL, copies(1.0, 1.0, later=(1.0, 2.0))) == []
    assert severities(EQUAL, copies(0.0, 0.0)) == severities(EQUAL, copies(1.0, 1.0, gradients=(0.0, 0.0))) == []
    assert severities(EQUAL, copies(1.0, 1.0, trainable=False)) == severities(EQUAL, copies(1.0, 1.0, role="bias")) == []


def leaves(*found: ForeignLeaf, asleep: bool = True) -> Trace:
    weights = named([parameter(f"p{i}.weight", None if asleep else stats(1.0)) for i in range(6)])
    facts = {"foreign_leaves": (trace(foreign=found),), "after_steps": (trace(parameters=weights),)}
    return trace(leaves=1, parameters=weights, facts=facts)


def leaf(held: str = "attribute", behind: int = 0, kind: str = "Tensor") -> ForeignLeaf:
    return ForeignLeaf("w", kind, (4,), held, "model.py:2", tuple(f"p{i}.weight" for i in range(behind)))


def test_leaves_that_nobody_optimises() -> None:
    assert heard(FOREIGN, trace()) == ([], [])
    assert heard(FOREIGN, trace(leaves=1)) == ([], ["foreign_leaves"])
    found, _ = heard(FOREIGN, leaves(leaf("attribute"), leaf("attribute"), leaf("global")))
    assert [(one.got, one.message.split(" in ")[0]) for one in found] == [
        (2.0, "2 tensors require a gradient and are not"),
        (1.0, "1 tensor requires a gradient and is not"),
    ]
    assert "nn.Parameter" in dict(found[0].details)["help"] and "attribute of the module" in dict(found[1].details)["help"]
    assert found[0].places[0].source == "model.py:2" and found[0].places[0].note == "not registered"


@pytest.mark.parametrize(
    ("behind", "told"),
    [(1, "p0.weight get"), (4, "p0.weight, p1.weight, p2.weight, p3.weight get"), (6, "p3.weight and 2 more get")],
)
def test_leaves_that_stop_a_gradient(behind: int, told: str) -> None:
    derived = leaf("forward", behind)
    (found,), _ = heard(FOREIGN, leaves(derived))
    assert told in dict(found.details)["because"] and len(found.places) == behind
    assert severities(FOREIGN, leaves(derived, asleep=False)) == []
    assert severities(FOREIGN, leaves(derived, leaf("global"), asleep=False)) == ["error"]  # the next one is looked at
    assert severities(FOREIGN, leaves(leaf("forward", behind, "Parameter"), asleep=False)) == ["error"]
    early = leaves(derived)
    assert heard(FOREIGN, dataclasses.replace(early, facts={"foreign_leaves": early.facts["foreign_leaves"]})) == (
        [],
        ["after_steps"],
    )


def idle(*layers: Any, parameters: tuple[Any, ...] = ()) -> Trace:
    weights = named([parameter("stem.weight", stats(1.0)), *parameters])
    known = {"parameters": weights, "layers": named(layers)}
    return trace(**known, facts={"after_steps": (trace(**known),) * 4, "detailed": (trace(**known),)})


def typo(seen_: Trace) -> str:
    return "; ".join(dict(one.details).get("because", "") for one in heard(MISSING, seen_)[0])


def test_a_sibling_that_is_called_twice_is_a_typo() -> None:
    never = {"order": -1, "followed": False, "referenced": False}
    lost = parameter("block.b.weight", **never)
    twin = parameter("block.a.weight", stats(1.0))
    other = parameter("block.c.weight", stats(1.0), shape=(2, 2))
    calls = [layer("block", kind="Block"), layer("block.c", calls=5), layer("block.a", calls=2), layer("block.b", calls=0)]
    assert (
        typo(idle(*calls, parameters=(twin, lost, other)))
        == "block.b is never called, and block.a, of the same shape, is called 2 times: a typo?"
    )
    once = [*calls[:2], layer("block.a", calls=1), calls[3]]
    assert typo(idle(*once, parameters=(twin, lost, other))) == ""
    elsewhere = [*calls[:2], layer("outer.a", calls=2), calls[3]]
    assert typo(idle(*elsewhere, parameters=(parameter("outer.a.weight", stats(1.0)), lost))) == ""
    another = [*calls[:2], layer("block.a", calls=2, kind="Conv2d"), calls[3]]
    assert typo(idle(*another, parameters=(twin, lost))) == ""


def test_a_bare_parameter_whose_sibling_is_used_twice_is_a_typo() -> None:
    lost = parameter("mix.shift", shape=(4,), role="vector", followed=False, referenced=False)
    twice = parameter("mix.scale", stats(1.0), shape=(4,), role="vector", uses=2)
    large = parameter("mix.large", stats(1.0), shape=(9,), role="vector", uses=3)
    far = parameter("far.scale", stats(1.0), shape=(4,), role="vector", uses=3)
    mix = layer("mix", kind="Mix")
    assert (
        typo(idle(mix, parameters=(far, large, lost, twice)))
        == "mix.shift is never used, and mix.scale, of the same shape, 2 times: a typo?"
    )
    assert typo(idle(mix, parameters=(far, large, lost, dataclasses.replace(twice, uses=1)))) == ""
    assert typo(idle(mix, parameters=(dataclasses.replace(lost, role="bias"), twice))) == ""


def one_signed(before: tuple[float | None, ...], after: float | None, *, trainable: bool = True) -> Trace:
    """Weights of one sign, and what the forward pass says of each."""
    names = [f"{i}.weight" for i in range(len(before))]
    members = named([parameter(name, stats(1.0, 16), trainable=trainable) for name in names])
    bare = trace(parameters=members, one_sided=tuple(OneSided(name) for name in names))
    told = tuple(OneSided(name, share, after) for name, share in zip(names, before, strict=True))
    facts = {"one_line": (bare.only(one_sided=told),), "detailed": (bare,)}
    return dataclasses.replace(bare, facts=facts)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ((0.1, 0.4), 0.9, ["warning"]),
        ((0.1, 0.4), 0.89, []),
        ((0.49, 0.95), 0.89, []),
        ((0.5, 0.95), 0.99, []),
        ((0.1, 0.4, 0.9), 0.3, ["warning"]),
        ((0.1, 0.95, 0.3), 0.3, []),
        ((0.1, 0.4), None, []),
        ((None, 0.4), 0.99, []),
        ((0.1,), 0.99, []),
        ((), None, []),
    ],
)
def test_weights_of_one_sign_count_where_a_line_is_left_behind_two(
    before: tuple[float | None, ...], after: float | None, found: list[str]
) -> None:
    assert severities("one-sided-weight", one_signed(before, after)) == found


def test_weights_of_one_sign_that_do_not_learn_do_not_count() -> None:
    assert severities("one-sided-weight", one_signed((0.1, 0.4), 0.99, trainable=False)) == []
