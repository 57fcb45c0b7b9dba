"""The rules on losses, precision, noise and influence, on numbers written down by hand, on each side of their bounds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from gradcheck_health import Trace
from gradcheck_health.records.declarations import Declared
from gradcheck_health.records.evidence import ConstantPredictor, Difference, Headroom, Nonfinite
from gradcheck_health.records.influence import Influence
from gradcheck_health.records.measurements import InputsTrace, OutputTrace, TensorStats
from gradcheck_health.rules.analysis import half_precision
from tests.support.made_traces import heard, layer, named, parameter, severities, stats, trace

LOSS, UNDER, OVER = "high-initial-loss", "half-precision-underflow", "half-precision-overflow"


def constant(loss: float, **parts: Any) -> ConstantPredictor:
    """The best constant has a loss of 1, unless it is kept to entries up to 10."""
    known = {"neutral": 1e9, "best": 1.0, "near": 1e9, "reach": 40.0, "output": 3.0}
    return ConstantPredictor(loss, **{**known, **parts})


def lossy(*constants: ConstantPredictor, **parts: Any) -> Trace:
    head = parameter("head.weight", order=1)
    known = named([parameter("stem.weight"), head])
    facts = {"constant_predictor": tuple(trace(constants=(one,)) for one in constants)}
    return trace(**{"loss": 1.0, "parameters": known, "facts": facts if constants else {}, **parts})


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (constant(5.05), ["warning"]),
        (constant(4.95), []),
        (constant(5.05, near=4.95), []),  # a constant that nobody could start from
        (constant(5.05, near=5.05), ["warning"]),
        (constant(5.05, near=1.0, neutral=1.0), ["warning"]),  # zeros would do
        (constant(4.95, near=1.0, neutral=1.0), []),
        (constant(25.1, growth=2.0), ["warning"]),
        (constant(24.9, growth=2.0), []),
        (constant(11.3, growth=1.5), ["warning"]),  # 5^1.5 = 11.18
        (constant(11.1, growth=1.5), []),
        (constant(0.99e6, neutral=1.0, near=1.0), ["warning"]),
        (constant(1.01e6, neutral=1.0, near=1.0), []),  # the best constant is zero up to rounding
    ],
)
def test_a_loss_five_times_that_of_a_constant_is_high(one: ConstantPredictor, said: list[str]) -> None:
    assert severities(LOSS, lossy(one)) == said


def test_a_loss_at_its_bound_is_allowed() -> None:
    one = constant(8.0, near=8.0, neutral=8.0)
    assert severities(LOSS, lossy(one), max_ratio=8.0) == []
    assert severities(LOSS, lossy(one), max_ratio=7.99) == ["warning"]
    assert severities(LOSS, lossy(constant(8.0, neutral=1.0)), max_ratio=8.0) == []


def test_every_batch_has_to_agree_and_the_mildest_is_reported() -> None:
    assert severities(LOSS, lossy(constant(50.0), constant(4.0))) == []
    (found,), _ = heard(LOSS, lossy(constant(50.0), constant(9.0, best=1.5)))
    assert found.got == pytest.approx(6.0) and found.bound == 5.0
    assert dict(found.details)["confirmed"] == "2 of 2 batches"
    (found,), _ = heard(LOSS, lossy(constant(50.0)))
    assert dict(found.details)["confirmed"] == "1 batch, the only one there is"
    assert found.names == ("head",)


def test_the_reason_is_reported_apart() -> None:
    (large,), _ = heard(LOSS, lossy(constant(50.0, neutral=2.0)))
    assert "without them the loss would be 2" in dict(large.details)["because"]
    assert "small std" in dict(large.details)["help"]
    (far,), _ = heard(LOSS, lossy(constant(50.0, neutral=49.0)))
    assert "the best constant has entries of 40" in dict(far.details)["because"]
    assert "normalise the targets" in dict(far.details)["help"]
    (weighed,), _ = heard(LOSS, lossy(constant(50.0, weight="stem.weight")))
    assert weighed.names == ("stem",)


@pytest.mark.parametrize("loss", [None, math.nan, math.inf, 0.0, -1.0])
def test_losses_without_a_base_are_not_judged(loss: float | None) -> None:
    assert heard(LOSS, lossy(constant(50.0), loss=loss)) == ([], [])


def asks(y: float, pull: float, *, bias: float | None = None, given: bool = True, outer: float | None = None) -> bool:
    """Whether a constant is looked for where the last layer returns an output of norm `y` and gets a gradient of norm `pull`.

    64 samples of 4 outputs; a bias with a gradient of norm `bias`; the model returns what has the norm `outer`.
    """
    last = layer("head", order=1, output=stats(y, 256), output_gradient=stats(pull, 256))
    whole = layer("", kind="Net", output=stats(outer or y, 256), output_gradient=stats(pull, 256))
    entries = [parameter("stem.weight", stats(9.0)), parameter("head.weight", stats(9.0), order=1)]
    if bias is not None:
        entries.append(parameter("head.bias", stats(bias, 4), order=1, shape=(4,)))
    entries.append(parameter("never.bias", stats(99.0, 4), order=-1))
    seen = trace(
        loss=1.0,
        parameters=named(entries),
        layers=named([last, whole, layer("stem", output=stats(9.0, 9), output_gradient=stats(9.0, 9))]),
        objective="the given loss" if given else "the model's own loss",
    )
    found, needs = heard(LOSS, seen)
    assert found == []
    return needs == ["constant_predictor"]


def test_a_constant_is_searched_for_where_it_can_gain_enough() -> None:
    """Convexity: zeros gain at most |y| |dL/dy|, and four fifths of the loss have to be gained."""
    assert asks(0.81, 1.0) and not asks(0.79, 1.0)
    assert asks(8.1, 0.1) and not asks(7.9, 0.1)
    assert asks(0.1, 1.0, outer=0.81) and not asks(0.1, 1.0, outer=0.81, given=False)


def test_a_shift_gains_what_the_bias_says() -> None:
    """Under a squared error |sum of pulls|^2 / n of |pulls|^2: 64 samples that all pull alike gain everything."""
    alike = 8.0  # sqrt(64) x the norm of the pull
    assert asks(0.1, 1.0, bias=alike * math.sqrt(0.81))
    assert not asks(0.1, 1.0, bias=alike * math.sqrt(0.79))
    assert not asks(0.1, 1.0)


def test_nothing_is_searched_for_where_nothing_was_called() -> None:
    seen = trace(loss=1.0, parameters=named([parameter("head.weight", order=-1)]))
    assert heard(LOSS, seen) == ([], [])
    assert heard(LOSS, trace(loss=1.0)) == ([], [])
    unknown = trace(loss=1.0, parameters=named([parameter("head.weight")]), layers=named([layer("head")]))
    assert heard(LOSS, unknown) == ([], ["constant_predictor"])


def half(
    *exponents: tuple[int, int], activation: float = 1.0, dtype: str = "float16", output: str = "float32", **facts: Any
) -> Trace:
    room = Headroom(exponents, activation, "head", "Linear")
    return trace(
        parameters=named([parameter("head.weight", stats(1.0), dtype=dtype)]),
        layers=named([layer("head", source="model.py:3")]),
        outputs=(OutputTrace("", (64, 4), output, True),),
        facts={"headroom": (trace(headrooms=(room,)),), **facts},
    )


@pytest.mark.parametrize(
    ("dtype", "output", "options", "severity"),
    [
        ("float16", "float16", {}, "error"),
        ("float32", "float16", {}, "warning"),
        ("float32", "float32", {"loss_scale": 1.0}, "warning"),
        ("float16", "float32", {"loss_scale": 1.0}, "error"),
    ],
)
def test_severity_is_by_how_the_model_is_trained(dtype: str, output: str, options: dict[str, float], severity: str) -> None:
    assert severities(UNDER, half((-30, 10), dtype=dtype, output=output), **options) == [severity]
    assert severities(OVER, half((0, 10), activation=1e5, dtype=dtype, output=output), **options) == [severity]


@pytest.mark.parametrize(("lost", "said"), [(5, []), (6, ["error"])])
def test_one_in_twenty_may_be_flushed(lost: int, said: list[str]) -> None:
    """2^-25 is half of the smallest number of float16, and rounds to zero; 2^-24 is that number."""
    assert severities(UNDER, half((-25, lost), (-24, 100 - lost))) == said
    assert severities(UNDER, half((-24, 100))) == []


def test_a_loss_scale_moves_the_floor() -> None:
    seen = half((-30, 50), (-24, 50))
    assert severities(UNDER, seen, loss_scale=32.0) == ["error"]  # 2^-25 still rounds to zero
    assert severities(UNDER, seen, loss_scale=64.0) == []
    (found,), _ = heard(UNDER, seen)
    assert found.got == 0.5
    assert dict(found.details)["help"] == "a loss scale of 64 would do; or bfloat16"


@pytest.mark.parametrize(
    ("largest", "help"), [(9, "a loss scale of 64 would do; or bfloat16"), (10, "use bfloat16: no loss scale does")]
)
def test_a_scale_must_not_overflow(largest: int, help: str) -> None:
    """2^-30 wants a scale of 64, and 2^10 x 64 = 65536 is beyond 65504."""
    (found,), _ = heard(UNDER, half((-30, 50), (largest, 50)))
    assert dict(found.details)["help"] == help


@pytest.mark.parametrize(("tiny", "scale"), [(1, 1), (2, 64)])
def test_a_scale_has_to_keep_all_but_a_fifth_of_what_is_allowed(tiny: int, scale: int) -> None:
    room = Headroom(((-30, tiny), (-2, 100 - tiny)), 1.0, "head", "Linear")
    assert half_precision.helpful_scale(room, 0.05 / 5) == scale
    (found,), _ = heard(UNDER, half((-40, 5), (-30, tiny), (-2, 95 - tiny)))
    assert dict(found.details)["help"].startswith(f"a loss scale of {2**16} would do")


def test_every_pass_is_judged() -> None:
    quiet, loud = (Headroom(((e, 10),), 1.0, "head", "Linear") for e in (0, -30))
    seen = trace(
        parameters=named([parameter("head.weight", dtype="float16")]), facts={"headroom": (trace(headrooms=(quiet, loud)),)}
    )
    assert severities(UNDER, seen) == ["error"]


@pytest.mark.parametrize(("activation", "said"), [(65504.0, 0), (65505.0, 1), (math.inf, 0)])
def test_beyond_the_largest_number_of_float16(activation: float, said: int) -> None:
    found, _ = heard(OVER, half((0, 10), activation=activation))
    assert len(found) == said
    if said:
        assert found[0].places[0].source == "model.py:3" and found[0].bound == 65504.0


@pytest.mark.parametrize(("exponent", "scale", "said"), [(17, None, 1), (16, None, 0), (6, 1024.0, 0), (7, 1024.0, 1)])
def test_a_scaled_gradient_beyond_it(exponent: int, scale: float | None, said: int) -> None:
    """The largest entry lies above 2^(exponent-1), and 2^16 is the first power beyond."""
    found, _ = heard(OVER, half((-3, 5), (exponent, 10)), loss_scale=scale)
    assert len(found) == said
    assert all("scaled gradient reaches" in one.message for one in found)


@pytest.mark.parametrize(
    ("largest", "dtype", "said"), [(65504.0, "float32", []), (65505.0, "float32", ["note"]), (1e6, "bfloat16", [])]
)
def test_any_model_is_reported_what_float16_could_not_hold(largest: float, dtype: str, said: list[str]) -> None:
    wide = TensorStats(4, largest / 2, largest)
    seen = trace(parameters=named([parameter("a.weight", dtype=dtype)]), layers=named([layer("a", output=wide), layer("b")]))
    assert severities(OVER, seen) == said


@pytest.mark.parametrize(
    ("what", "activation", "exponent", "made"),
    [
        ("overflow", 1e5, 0, True),
        ("overflow", math.inf, 0, False),
        ("inf", 1.0, 17, True),
        ("inf", 1.0, 15, False),
        ("nan", 1.0, 17, False),
    ],
)
def test_what_made_inf_in_float16_alone(what: str, activation: float, exponent: int, made: bool) -> None:
    origin = Nonfinite("forward", "mul", "head", "model.py:9", what)
    room = Headroom(((exponent, 1),), activation, "head", "Linear")
    seen = trace(
        parameters=named([parameter("head.weight", dtype="float16")]),
        nonfinite=(origin,),
        facts={"headroom": (trace(headrooms=(room,)),)},
    )
    assert (half_precision.overflow(seen) is origin) is made
    assert half_precision.beyond(trace(nonfinite=(origin,))) is None  # float32 holds it, or does not


def test_shares_that_a_type_flushes() -> None:
    """float16 ends at 2^-24, bfloat16 at 2^-133, float32 at 2^-149; half of it rounds to zero."""
    for dtype, end in (("float16", -25), ("bfloat16", -134), ("float32", -150)):
        for e, share in ((end, 0.25), (end + 1, 0.0)):
            room = Headroom(((e, 1), (3, 3)), 7.0, "head", "Linear")
            assert half_precision.flushed(room, dtype) == share
    assert (
        half_precision.flushed(Headroom((), 1.0, "", ""), "float16")
        == half_precision.largest_gradient(Headroom((), 1.0, "", ""))
        == 0.0
    )
    assert "0.25 in float16, 0 in bfloat16, 0 in float32; largest activation 7" in half_precision.table(
        Headroom(((-25, 1), (3, 3)), 7.0, "", "")
    )


@pytest.mark.parametrize(("largest", "said"), [(2.0**-25, ["note"]), (2.0**-25 * 1.01, [])])
def test_whole_tensors_below_what_float16_holds(largest: float, said: list[str]) -> None:
    lost = parameter("a.weight", TensorStats(16, largest / 2, largest))
    seen = named([lost, parameter("b.weight", stats(1.0)), parameter("c.weight", stats(0.0)), parameter("d.weight")])
    assert severities(UNDER, trace(parameters=seen)) == said
    assert severities(UNDER, trace(parameters=seen, objective="random projection")) == []


@pytest.mark.parametrize(("size", "said"), [(5, []), (6, ["note"])])
def test_tensors_that_are_a_twentieth_of_the_model(size: int, said: list[str]) -> None:
    lost = parameter("a.weight", stats(1e-9, size), value=stats(1.0, size))
    rest = parameter("b.weight", stats(1.0, 100 - size), value=stats(1.0, 100 - size))
    assert severities(UNDER, trace(parameters=named([lost, rest]))) == said


@pytest.mark.parametrize(("numel", "asked"), [(100_000, ["twice"]), (100_001, [])])
def test_small_models_are_run_twice(numel: int, asked: list[str]) -> None:
    seen = trace(parameters=named([parameter("a.weight", value=stats(1.0, numel))]))
    assert heard("nondeterministic-gradient", seen) == ([], asked)


@pytest.mark.parametrize(
    ("numbers", "batch", "asked"),
    [
        (300_000, 1, True),
        (300_001, 1, False),
        (300_001, None, False),
        (600_000, 6, True),
        (600_001, 6, False),
        (300_001, 3, False),
    ],
)
def test_small_is_by_what_layers_return_for_three_samples(numbers: int, batch: int | None, asked: bool) -> None:
    fed = InputsTrace("float32", "given", False, batch)
    seen = trace(
        layers=named([layer("a", output=stats(1.0, numbers - 1)), layer("b", output=stats(1.0)), layer("c")]), inputs=fed
    )
    assert heard("nondeterministic-gradient", seen) == ([], ["twice"] if asked else [])


def test_a_small_model_is_run_twice_and_no_large_one() -> None:
    large = {"parameters": named([parameter("a.weight", value=stats(1.0, 10**6))])}
    assert heard("nondeterministic-gradient", trace(**large, facts={"mixing": (), "kicked": ()})) == ([], [])
    assert heard("nondeterministic-gradient", trace()) == ([], ["twice"])
    assert heard("nondeterministic-gradient", trace(backward_error="no")) == ([], [])


def test_what_differs_is_named() -> None:
    one = Difference("gradient", tuple("abcdef"), 0.5, "head", "Linear", "", "model.py:4")
    (found,), _ = heard("nondeterministic-gradient", trace(facts={"twice": (trace(differences=(one,)),)}))
    assert dict(found.details)["differing"] == "a, b, c, d"
    assert "an operation that was not seen" in dict(found.details)["because"]
    assert "0.5 of the largest entry in the gradient" in found.message


def cancelling(share: float, wide: float | None = None, rows: int = 16, **parts: Any) -> Trace:
    """A bias whose gradient is `share` times eps sqrt(rows) of its layer's: in float32, and again in float64."""

    def one(dtype: str, eps: float, times: float) -> dict[str, Any]:
        bias = parameter(
            "fc.bias",
            stats(times * eps * math.sqrt(rows), 4),
            **{"shape": (4,), "dtype": dtype, "value": stats(1.0, 4), **parts},
        )
        return {"parameters": named([bias]), "layers": named([layer("fc", output_gradient=stats(1.0, 4 * rows))])}

    facts = {} if wide is None else {"float64": (trace(**one("float64", 2.0**-52, wide)),)}
    return trace(**one("float32", 2.0**-23, share), facts=facts)


@pytest.mark.parametrize("rows", [2, 16, 1000])
@pytest.mark.parametrize(
    ("share", "wide", "found", "asked"),
    [
        (9.9, None, 1, []),
        (10.1, None, 0, ["jittered"]),
        (99.0, 99.0, 1, []),
        (99.0, 101.0, 0, []),
        (101.0, None, 0, []),
        (0.0, None, 1, []),
    ],
)
def test_rounding_is_counted_in_epsilons(share: float, wide: float | None, found: int, asked: list[str], rows: int) -> None:
    findings, needs = heard("redundant-parameter", cancelling(share, wide, rows))
    assert (len(findings), needs) == (found, asked)


@pytest.mark.parametrize(("moved", "asked"), [((), []), (("fc.weight",), []), (("fc.bias",), ["float64"])])
def test_what_stays_when_the_weights_move_is_no_rounding(moved: tuple[str, ...], asked: list[str]) -> None:
    seen = trace(differences=(Difference("gradient", moved, 1.0),))
    assert heard("redundant-parameter", dataclasses.replace(cancelling(10.1), facts={"jittered": (seen,)})) == ([], asked)


@pytest.mark.parametrize(
    "parts",
    [{"role": "weight"}, {"shape": (2, 2)}, {"trainable": False}, {"dtype": "float16"}, {"gradient": None}, {"layer": "gone"}],
)
def test_what_nothing_is_said_of(parts: dict[str, Any]) -> None:
    bias = parameter("fc.bias", **{"gradient": stats(0.0, 4), "shape": (4,), "value": stats(1.0, 4), **parts})
    for calls, arrived in (
        (1, stats(1.0, 64)),
        (2, stats(1.0, 64)),
        (1, None),
        (1, stats(0.0, 64)),
        (1, stats(1.0, 4)),
        (1, stats(1.0, 66)),
    ):
        seen = trace(parameters=named([bias]), layers=named([layer("fc", calls=calls, output_gradient=arrived)]))
        assert heard("redundant-parameter", seen) == ([], [])


MIXED = {"mixed-samples": ("mixing", {"batched": True}, 0.03), "future-leak": ("future", {"causal": True}, 0.001)}


@pytest.mark.parametrize("rule", MIXED)
def test_influence_on_each_side_of_its_bound(rule: str) -> None:
    fact, declared, bound = MIXED[rule]
    for share, smooth, said in (
        (bound * 1.01, bound * 1.01, "error"),
        (bound, bound, "note"),
        (0.5, 0.0151, "error"),
        (0.5, 0.0149, "note"),  # a small change moves less than 3 % of what a large one does: it jumps
    ):
        one = Influence("", "the first sample", share, smooth, "mix", "Mix", "matmul", "model.py:2")
        seen = trace(declared=Declared(**declared), facts={fact: (trace(influences=(one,)),)})
        assert severities(rule, seen) == [said]
        (found,), _ = heard(rule, seen)
        assert ("jumps" in dict(found.details)["because"]) is (smooth == 0.0149)
        assert found.got == share and found.bound == bound


@pytest.mark.parametrize(
    ("op", "reduces", "joined", "said", "bound"),
    [
        ("softmax", 0, True, "error", 1e-4),
        ("mean", 4, False, "error", 1e-4),
        ("max", 1, True, "note", 0.03),
        ("amax", 32, False, "note", 0.03),
        ("max", 32, True, "error", 0.03),
    ],
)
def test_operation_says_how_much_is_too_much(op: str, reduces: int, joined: bool, said: str, bound: float) -> None:
    one = Influence("", "the last sample", 0.05, 0.05, op=op, reduces=reduces, joined=joined)
    seen = trace(declared=Declared(batched=True), facts={"mixing": (trace(influences=(one,)),)})
    (found,), _ = heard("mixed-samples", seen)
    assert (str(found.severity), found.bound) == (said, bound)


@pytest.mark.parametrize("rule", MIXED)
def test_what_was_not_judged_is_reported_to_who_asked_for_it(rule: str) -> None:
    fact, declared, _ = MIXED[rule]
    seen = {"facts": {fact: (trace(gaps=("no batch of three samples runs",)),)}}
    (found,), _ = heard(rule, trace(declared=Declared(**declared), **seen))
    assert str(found.severity) == "note" and "no batch of three samples runs" in found.message
    assert heard(rule, trace(causal="its configuration", **seen)) == ([], [])


def test_who_is_asked_about_influence() -> None:
    nobody = InputsTrace("float32", "given", False, None)
    assert heard("mixed-samples", trace()) == ([], ["mixing"])
    assert heard("mixed-samples", trace(inputs=nobody)) == ([], [])
    assert heard("mixed-samples", trace(declared=Declared(batched=False))) == ([], [])
    assert heard("future-leak", trace()) == ([], [])
    assert (
        heard("future-leak", trace(causal="its mask"))
        == heard("future-leak", trace(declared=Declared(causal=True)))
        == ([], ["future"])
    )
    assert heard("future-leak", trace(causal="its mask", declared=Declared(causal=False))) == ([], [])


@pytest.mark.parametrize(
    ("parts", "reason"), [({"layout": True}, "samples along axis 1"), ({"statistics": True}, "no running statistics")]
)
def test_what_may_be_meant_is_a_note(parts: dict[str, bool], reason: str) -> None:
    one = Influence("", "the first sample", 0.5, 0.5, "mix", "GRU", "gru", "model.py:2", **parts)
    facts = {"mixing": (trace(influences=(one,)),)}
    (found,), _ = heard("mixed-samples", trace(facts=facts))
    assert str(found.severity) == "note" and reason in dict(found.details)["because"]
    declared = severities("mixed-samples", trace(facts=facts, declared=Declared(batched=True)))
    assert declared == ["error" if "layout" in parts else "note"]
