"""Check given inputs; where forward fails on them, one `InputsError` says which layer wanted what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gradcheck_health import memory
from gradcheck_health.batch import Inputs
from gradcheck_health.errors import InputInferenceError, InputsError, ModelError, in_python
from gradcheck_health.inputs.facts import Facts
from gradcheck_health.inputs.failures import explain
from gradcheck_health.inputs.given import read
from gradcheck_health.inputs.infer import finished, infer
from gradcheck_health.inputs.mending import mended
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.reach import outputs, reached, trainable
from gradcheck_health.inputs.regardless import of_its_own
from gradcheck_health.inputs.tracer import Tracer
from gradcheck_health.inputs.wording import message as text_of
from gradcheck_health.inputs.wording import said
from gradcheck_health.probe.passes import fresh
from gradcheck_health.probe.sandbox import sandbox


def synthesize_given(facts: Facts, given: Any, seed: int, batch_size: int | None) -> Inputs:
    """Given inputs, complete. They are run by the probe; `blame` explains a failure."""
    inputs, factory = read(given, facts)
    if isinstance(inputs, Plan):
        return _completed(facts, inputs, seed, batch_size)
    check(facts, inputs)
    first = next((v for v in outputs((inputs.args, dict(inputs.kwargs))) if v.dim()), None)
    inputs = replace(inputs, batch=inputs.batch if inputs.batch is not None else None if first is None else first.shape[0])
    if factory is not None and inputs.resample is None:
        return replace(inputs, resample=_resampler(inputs, factory, facts))
    return inputs


def with_remedy(text: str, specs: dict[str, str] | None) -> InputsError:
    """The error, with inputs that were seen to run where some were found."""
    error = InputsError(f"{text}\n  this runs: {in_python(specs)}" if specs else text)
    error.specs = specs or {}
    return error


def _resampler(first: Inputs, factory: Callable[[], Any], facts: Facts) -> Callable[[int], Inputs]:
    def resample(seed: int) -> Inputs:
        torch.manual_seed(seed)
        again, _ = read(factory(), facts)
        return replace(again, batch=first.batch) if isinstance(again, Inputs) else first

    return resample


def _completed(facts: Facts, plan: Plan, seed: int, batch_size: int | None) -> Inputs:
    """A plan in which something was given; an error is the giver's where nothing was left to guess."""
    free = [path for path, leaf in plan.leaves() if not leaf.fixed]
    try:
        made = infer(facts, seed, batch_size, start=plan)
    except InputInferenceError as error:
        specs = None if error.__cause__ is not None and of_its_own(error.__cause__) else mended(facts, plan, seed)
        if specs is None and not free and not error.likely:
            # nothing about them is known to be wrong: what the probe tells of the model's own error stands
            return finished(facts, plan, seed, Inputs(origin="given"))
        if specs is None and free:
            raise
        # its last line is what to give: the very spec that failed, where nothing was left to guess
        told = str(error).removeprefix("could not make up inputs for ").partition("\n  give them: ")[0]
        raise with_remedy(f"inputs: {told}", specs) from error
    names = ", ".join(dict.fromkeys(str(path[0]) for path in free))
    return replace(made, origin=f"given, {names} made up" if free else "given", made_up=bool(free))


def check(facts: Facts, inputs: Inputs) -> None:
    """Faults that show without running: empty batches, NaN, the wrong device.

    Raises:
        InputsError: naming the argument.
    """
    names = [argument.name for argument in facts.signature.arguments]
    places = [(names[i] if i < len(names) else f"[{i}]", value) for i, value in enumerate(inputs.args)]
    for name, value in [*places, *inputs.kwargs.items()]:
        if type(value).__name__ == "ndarray":
            kind = f"{value.dtype}{list(value.shape)}"
            raise InputsError(f"inputs: {name} is a NumPy array, {kind}: hand over torch.from_numpy({name})")
        for tensor in outputs(value):
            if tensor.numel() == 0:
                raise InputsError(f"inputs: {name} is empty, shape {list(tensor.shape)}: give at least one sample")
            if tensor.device != facts.device and tensor.device.type != "meta" and facts.tensors:
                raise InputsError(
                    f"inputs: {name} is on {tensor.device}, the model on {facts.device}: move one of them with .to()"
                )
            if tensor.is_meta:
                continue
            if (tensor.is_floating_point() or tensor.is_complex()) and not bool(torch.isfinite(tensor).all()):
                bad = int((~torch.isfinite(tensor)).sum())
                if bool(torch.isnan(tensor).any()):
                    raise InputsError(
                        f"inputs: {name} holds NaN ({bad} of {tensor.numel()} entries are not finite): clean the data first"
                    )


def blame(model: nn.Module, inputs: Inputs, seed: int) -> InputsError | None:
    """Why forward cannot run on given inputs, and the nearest that it runs on; None if it can, or if it is not their fault."""
    facts = Facts(model)
    failed = failure(facts, inputs, seed)
    if failed is None or memory.ran_out(failed[1]):
        return None
    lines = _lines(facts, inputs, *failed)
    names = [argument.name for argument in facts.signature.arguments]
    given = {**dict(zip(names, inputs.args, strict=False)), **inputs.kwargs}
    specs = mended(facts, given, seed) if len(inputs.args) <= len(names) else None
    if len(lines) == 2 and specs is None:
        return None
    return with_remedy("\n".join(lines), specs)


def failure(facts: Facts, inputs: Inputs, seed: int) -> tuple[Tracer, Exception] | None:
    """What forward raises on the inputs, and the operations that were seen until then; None if it runs."""
    tracer = Tracer({}, -1)
    with sandbox(facts.model):
        torch.manual_seed(seed)
        try:
            with torch.enable_grad(), tracer:
                facts.model(*fresh(inputs.args), **fresh(dict(inputs.kwargs)))
        except Exception as error:  # noqa: BLE001 - the model's own
            return tracer, error
    return None


def reached_by(facts: Facts, inputs: Inputs, seed: int) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the trainable parameters that the output on these inputs depends on, and of all that want a gradient.

    Raises:
        ModelError: forward raised.
    """
    with sandbox(facts.model):
        torch.manual_seed(seed)
        try:
            with torch.enable_grad():
                output = facts.model(*fresh(inputs.args), **fresh(dict(inputs.kwargs)))
        except Exception as error:
            raise ModelError(f"{type(facts.owner).__name__} does not run on {inputs.describe()}: {said(error)}") from error
        return reached(facts.model, output)[0], trainable(facts.model)


def _lines(facts: Facts, inputs: Inputs, tracer: Tracer, error: Exception) -> list[str]:
    """What cannot run on what, where it failed, and what was wanted there."""
    wants, place = explain(Plan(()), tracer, error, facts)
    lines = [f"inputs: {type(facts.owner).__name__} cannot run on {inputs.describe()}", f"  failed at {place}: {said(error)}"]
    (only,) = inputs.args if len(inputs.args) == 1 else (None,)
    if isinstance(only, dict) and isinstance(error, TypeError | AttributeError):
        names = ", ".join(argument.name for argument in facts.signature.arguments)
        keys = ", ".join(repr(key) for key in only)
        return [*lines, f"  wanted: a tensor, got a dict with {keys}: the arguments of forward are called {names}"]
    odd = [t for t in outputs((inputs.args, dict(inputs.kwargs))) if t.is_floating_point() and t.dtype != facts.dtype]
    if odd and facts.tensors and isinstance(error, RuntimeError) and "type" in text_of(error):
        got_type, own = (str(dtype).removeprefix("torch.") for dtype in (odd[0].dtype, facts.dtype))
        return [*lines, f"  wanted: {own}, as the parameters, got {got_type}: convert with .to(torch.{own})"]
    for want in wants:
        if want.tensor is None:
            continue
        got = list(want.tensor.shape)
        if want.what in ("size", "least"):
            near = [want.value if d == want.dim % len(got) else n for d, n in enumerate(got)] if got else []
            lines.append(f"  wanted: {want.value} in dimension {want.dim} ({want.why}), got {got}; nearest: {near}")
            break
        if want.what == "rank":
            lines.append(f"  wanted: {want.value} dimensions ({want.why}), got {got}")
            break
        if want.what == "kind":
            lines.append(f"  wanted: {want.value} ({want.why}), got {str(want.tensor.dtype).removeprefix('torch.')}")
            break
        if want.what == "range":
            lines.append(f"  wanted: ids below {want.value} ({want.why}), got up to {int(want.tensor.max())}")
            break
    return lines
