"""What is measured of one model: the inputs that are made up for it, the verdict on it, and whether both repeat."""

from __future__ import annotations

import contextlib
import inspect
import io
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.inputs.child import line
from benchmarks.inputs.without import without
from gradcheck_health import check_gradients
from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.observation.reach import trainable
from gradcheck_health.inputs.search import trial
from gradcheck_health.model.nest import fresh, tensors

BUDGET = 10
"""CPU seconds for making up inputs."""
LARGEST = 100_000_000
"""Parameters; larger models are left out, and those whose known-good input takes twice the budget."""

Build = Callable[[], tuple[torch.nn.Module, Any]]


def examine(build: Build, batch: int | None = None, missing: str | None = None, given: bool = False) -> dict[str, Any]:
    """Build, validate the known-good input, make up inputs, run forward and backward on them.

    Args:
        missing: the idea to do without, one of `without.SWITCHES`.
        given: hand over the shapes of the known-good input as specs.
    """
    model, known, result = _built(build)
    if model is None:
        return result
    wanted = set(result.pop("reachable", trainable(model)))
    hints = _specs(model, *known[0]) if given and isinstance(known, list) else None
    start = time.process_time()
    with without(missing), _counted() as calls:
        try:
            inputs = synthesize(model, hints, batch_size=None if given else batch)
        except Exception as error:  # noqa: BLE001 - the outcome that is measured
            crash = "" if "could not make up" in str(error) else traceback.format_exc()[-1500:]
            result |= {"cpu": time.process_time() - start, "trials": calls[0], "crash": crash}
            return {**result, "outcome": "failed", "error": str(error)[:1200]}
    result |= {
        "cpu": time.process_time() - start,
        "trials": calls[0],
        "inputs": inputs.describe(),
        "left_out": list(inputs.left_out),
    }
    try:
        got = _reached(model, inputs.args, dict(inputs.kwargs))
    except Exception as error:  # noqa: BLE001
        return {**result, "outcome": "does not run", "error": line(error)}
    result["reached"] = len(got & wanted) / len(wanted) if wanted else 1.0
    result["unreached"] = sorted(wanted - got)[:6]
    result["outcome"] = "ran" if result["cpu"] <= BUDGET else "too slow"
    if callable(known):
        result["agrees"] = known(list(tensors((list(inputs.args), dict(inputs.kwargs)))))
    elif known and wanted:  # a layer without parameters takes any rank
        made = _arguments(model, inputs.args, dict(inputs.kwargs))
        right = [_arguments(model, *one) for one in known]
        result["agrees"] = any(all(made.get(name) == kinds for name, kinds in one.items()) for one in right)
        result["further"] = sorted(set(made) - set(right[0]))
    return result


def _built(build: Build) -> tuple[torch.nn.Module | None, Any, dict[str, Any]]:
    """The model in a state of its own, its known-good inputs, and what the first of them shows."""
    torch.manual_seed(0)
    result: dict[str, Any] = {"outcome": "not built"}
    try:
        model, known = build()
    except BaseException as error:  # noqa: BLE001 - third-party constructors
        return None, [], {**result, "error": line(error)}
    result["parameters"] = sum(p.numel() for p in model.parameters() if not torch.nn.parameter.is_lazy(p))
    if result["parameters"] > LARGEST:
        return None, [], {**result, "outcome": "too large to measure"}
    if known is None or callable(known):
        return model, known, result
    several = known if isinstance(known, list) else [known]
    start = time.process_time()
    try:
        # on a model of its own: what a first forward pass leaves behind must not help the search
        result["reachable"] = sorted(_reached(build()[0], *several[0]))
        result["known"] = _arguments(model, *several[0])
    except Exception as error:  # noqa: BLE001
        return None, [], {**result, "outcome": "known input fails", "error": line(error)}
    if time.process_time() - start > 2 * BUDGET:
        return None, [], {**result, "outcome": "too large to measure"}
    return model, several, result


def _reached(model: torch.nn.Module, args: Any, kwargs: Any) -> set[str]:
    """Names of the parameters that get a gradient in some of three real passes: layers are dropped at random."""
    wanted = {name for name, p in model.named_parameters() if p.requires_grad}
    got: set[str] = set()
    for attempt in range(3):
        torch.manual_seed(attempt)
        with contextlib.redirect_stdout(io.StringIO()):
            out = model(*fresh(args), **fresh(kwargs))
        loss = sum((t.abs() if t.is_complex() else t).float().mean() for t in tensors(out) if t.requires_grad)
        if isinstance(loss, torch.Tensor):
            loss.backward()
        got |= {name for name, p in model.named_parameters() if p.requires_grad and p.grad is not None}
        if got == wanted or not any("drop" in name for module in model.modules() for name in vars(module)):
            break
    return got


def _arguments(model: torch.nn.Module, args: Any, kwargs: Any) -> dict[str, list[Any]]:
    """Rank and kind of the tensors of every argument, by its name."""
    names = [*inspect.signature(model.forward).parameters, *(f"*{i}" for i in range(len(args)))]
    named = {**dict(zip(names, args, strict=False)), **kwargs}
    found = {name: [[t.dim(), _kind(t)] for t in tensors(value)] for name, value in named.items()}
    return {name: tensors for name, tensors in found.items() if tensors}


def _kind(tensor: torch.Tensor) -> str:
    if tensor.is_complex():
        return "complex"
    return "float" if tensor.is_floating_point() else "bool" if tensor.dtype is torch.bool else "int"


def _specs(model: torch.nn.Module, args: Any, kwargs: Any) -> Any:
    """The known-good input as a person would write it: shapes and kinds, no values; integers keep their range."""

    def spec(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        short = {"float": "f32", "int": "i64", "bool": "bool", "complex": "c64"}[_kind(value)]
        bound = f"<{int(value.max()) + 1}" if short == "i64" and value.numel() else ""
        return f"{short}[{','.join(map(str, value.shape))}]{bound}"

    if not kwargs:
        return [spec(value) for value in args]
    named = dict(zip(inspect.signature(model.forward).parameters, args, strict=False))
    return {name: spec(value) for name, value in {**named, **kwargs}.items()}


@contextlib.contextmanager
def _counted() -> Iterator[list[int]]:
    """Counts the trials of the block in the only entry of the list."""
    calls = [0]
    original = trial.TrialRunner.run

    def run(self: Any, plan: Any) -> Any:
        calls[0] += 1
        return original(self, plan)

    trial.TrialRunner.run = run  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        trial.TrialRunner.run = original  # type: ignore[method-assign]


def judge(build: Build) -> dict[str, Any]:
    """The verdict of a check with default settings, and whether the model and the process came back as they were."""
    from tests.model.leftovers.fingerprint import Fingerprint

    model, _, unbuilt = _built(build)
    if model is None:
        return unbuilt
    before = Fingerprint.of(model)
    start = time.process_time()
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = check_gradients(model)
    except Exception as error:  # noqa: BLE001 - the outcome that is measured
        untrainable = "there is no gradient to check" in str(error)
        result: dict[str, Any] = {"outcome": "nothing to train" if untrainable else "no verdict", "error": str(error)[:800]}
    else:
        findings = [
            {
                "rule": f.rule,
                "severity": f.severity.value,
                "message": f.message,
                "details": [list(d) for d in f.details],
                "places": [place.name for place in f.places][:8],
            }
            for f in report.findings
        ]
        result = {"outcome": "judged", "ok": report.ok, "inputs": report.trace.inputs.description, "findings": findings}
    result["cpu"] = time.process_time() - start
    result["traces"] = before.differences(Fingerprint.of(model))[:8]
    result["left_as_it_was"] = not result["traces"]
    return result


def repeat(build: Build, times: int = 20) -> dict[str, Any]:
    """How many different answers (inputs and verdict) `times` checks of freshly built models give."""
    answers = set()
    for _ in range(times):
        torch.manual_seed(0)
        model, _known = build()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                report = check_gradients(model)
                answers.add(
                    f"{report.trace.inputs.description} {[(f.rule, f.severity.value, f.message) for f in report.findings]}"
                )
            except Exception as error:  # noqa: BLE001
                answers.add(line(error))
    return {"outcome": "repeated", "times": times, "answers": len(answers)}
