"""Check given inputs; where forward fails on them, one `InputsError` says which layer wanted what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gradcheck_health.inputs.given.nearest import mended
from gradcheck_health.inputs.given.read import read
from gradcheck_health.inputs.observation.reach import reached, trainable
from gradcheck_health.inputs.observation.tracer import Tracer
from gradcheck_health.inputs.plan import Plan
from gradcheck_health.inputs.search.hopeless import of_its_own
from gradcheck_health.inputs.search.make_up import finished, infer
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.inputs.wants.from_failure import explain
from gradcheck_health.model.call import eager
from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.model.nest import fresh, tensors
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.records import errors
from gradcheck_health.records.errors import InputInferenceError, InputsError, ModelError, Remedy, one_line
from gradcheck_health.records.errors import message_of as text_of
from gradcheck_health.records.inputs import Inputs


def synthesize_given(info: ModelInfo, given: Any, seed: int, batch_size: int | None) -> Inputs:
    """Given inputs, complete. They are run by the probe; `blame` explains a failure."""
    inputs, factory = read(given, info)
    if isinstance(inputs, Plan):
        return _completed(info, inputs, seed, batch_size)
    check(info, inputs)
    first = next((v for v in tensors((inputs.args, dict(inputs.kwargs))) if v.dim()), None)
    inputs = replace(inputs, batch=inputs.batch if inputs.batch is not None else None if first is None else first.shape[0])
    if factory is not None and inputs.resample is None:
        return replace(inputs, resample=_resampler(inputs, factory, info))
    return inputs


def with_remedy(text: str, specs: dict[str, str] | None) -> InputsError:
    """The error, with inputs that were seen to run where some were found."""
    return InputsError(text, "inputs", Remedy("this runs", specs) if specs else None)


def _resampler(first: Inputs, factory: Callable[[], Any], info: ModelInfo) -> Callable[[int], Inputs]:
    def resample(seed: int) -> Inputs:
        torch.manual_seed(seed)
        again, _ = read(factory(), info)
        return replace(again, batch=first.batch) if isinstance(again, Inputs) else first

    return resample


def _completed(info: ModelInfo, plan: Plan, seed: int, batch_size: int | None) -> Inputs:
    """A plan in which something was given; an error is the giver's where nothing was left to guess."""
    free = [path for path, leaf in plan.leaves() if not leaf.fixed]
    try:
        made = infer(info, seed, batch_size, start=plan)
    except InputInferenceError as error:
        specs = None if error.__cause__ is not None and of_its_own(error.__cause__) else mended(info, plan, seed)
        if specs is None and not free and not error.likely:
            # nothing about them is known to be wrong: what the probe tells of the model's own error stands
            return finished(info, plan, seed, Inputs(origin="given"))
        if specs is None and free:
            raise
        # not its own remedy: the very spec that failed, where nothing was left to guess
        raise with_remedy(error.text.removeprefix("could not make up inputs for "), specs) from error
    names = ", ".join(dict.fromkeys(str(path[0]) for path in free))
    return replace(made, origin=f"given, {names} made up" if free else "given", made_up=bool(free))


def check(info: ModelInfo, inputs: Inputs) -> None:
    """Faults that show without running: empty batches, NaN, the wrong device.

    Raises:
        InputsError: naming the argument.
    """
    names = [argument.name for argument in info.signature.arguments]
    places = [(names[i] if i < len(names) else f"[{i}]", value) for i, value in enumerate(inputs.args)]
    for name, value in [*places, *inputs.kwargs.items()]:
        if type(value).__name__ == "ndarray":
            kind = f"{value.dtype}{list(value.shape)}"
            raise InputsError(f"{name} is a NumPy array, {kind}: hand over torch.from_numpy({name})", "inputs")
        for tensor in tensors(value):
            if tensor.numel() == 0:
                raise InputsError(f"{name} is empty, shape {list(tensor.shape)}: give at least one sample", "inputs")
            if tensor.device != info.device and tensor.device.type != "meta" and info.tensors:
                raise InputsError(
                    f"{name} is on {tensor.device}, the model on {info.device}: move one of them with .to()", "inputs"
                )
            if tensor.is_nested and tensor.layout is not torch.jagged:
                raise InputsError(
                    f"{name} is a nested tensor in the strided layout, which tells no shape: make it with "
                    "torch.nested.nested_tensor(samples, layout=torch.jagged)",
                    "inputs",
                )
            if tensor.is_meta:
                continue
            values = _values(tensor)
            if (values.is_floating_point() or values.is_complex()) and not bool(torch.isfinite(values).all()):
                bad = int((~torch.isfinite(values)).sum())
                if bool(torch.isnan(values).any()):
                    raise InputsError(
                        f"{name} holds NaN ({bad} of {tensor.numel()} entries are not finite): clean the data first", "inputs"
                    )


def _values(tensor: torch.Tensor) -> torch.Tensor:
    """What a sparse or nested tensor holds, without its zeros and its gaps."""
    if tensor.layout == torch.sparse_coo:
        return tensor.coalesce().values()
    return tensor.values() if tensor.is_nested or tensor.layout != torch.strided else tensor


def blame(model: nn.Module, inputs: Inputs, seed: int) -> InputsError | None:
    """Why forward cannot run on given inputs, and the nearest that it runs on; None if it can, or if it is not their fault."""
    info = ModelInfo(model)
    failed = failure(info, inputs, seed)
    if failed is None or errors.ran_out_of_memory(failed[1]):
        return None
    lines = _lines(info, inputs, *failed)
    names = [argument.name for argument in info.signature.arguments]
    given = {**dict(zip(names, inputs.args, strict=False)), **inputs.kwargs}
    specs = mended(info, given, seed) if len(inputs.args) <= len(names) else None
    if len(lines) == 2 and specs is None:
        return None
    return with_remedy("\n".join(lines), specs)


def failure(info: ModelInfo, inputs: Inputs, seed: int) -> tuple[Tracer, Exception] | None:
    """What forward raises on the inputs, and the operations that were seen until then; None if it runs."""
    tracer = Tracer({}, -1)
    with sandbox(info.model):
        torch.manual_seed(seed)
        try:
            with eager(), jointly("forward"), tracer:
                info.model(*fresh(inputs.args), **fresh(dict(inputs.kwargs)))
        except Exception as error:  # noqa: BLE001 - the model's own
            return tracer, error
    return None


def reached_by(info: ModelInfo, inputs: Inputs, seed: int) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the trainable parameters that the output on these inputs depends on, and of all that want a gradient.

    Raises:
        ModelError: forward raised.
    """
    with sandbox(info.model):
        torch.manual_seed(seed)
        try:
            with eager(), jointly("forward"):
                output = info.model(*fresh(inputs.args), **fresh(dict(inputs.kwargs)))
        except Exception as error:
            raise ModelError(f"{type(info.owner).__name__} does not run on {inputs.describe()}: {one_line(error)}") from error
        return reached(info.model, output)[0], trainable(info.model)


def _lines(info: ModelInfo, inputs: Inputs, tracer: Tracer, error: Exception) -> list[str]:
    """What cannot run on what, where it failed, and what was wanted there."""
    wants, place = explain(Plan(()), tracer, error, info)
    lines = [
        f"{type(info.owner).__name__} cannot run on {inputs.describe()}",
        f"  failed at {place}: {one_line(error)}",
    ]
    (only,) = inputs.args if len(inputs.args) == 1 else (None,)
    if isinstance(only, dict) and isinstance(error, TypeError | AttributeError):
        names = ", ".join(argument.name for argument in info.signature.arguments)
        keys = ", ".join(repr(key) for key in only)
        return [*lines, f"  wanted: a tensor, got a dict with {keys}: the arguments of forward are called {names}"]
    odd = [t for t in tensors((inputs.args, dict(inputs.kwargs))) if t.is_floating_point() and t.dtype != info.dtype]
    if odd and info.tensors and isinstance(error, RuntimeError) and "type" in text_of(error):
        got_type, own = (str(dtype).removeprefix("torch.") for dtype in (odd[0].dtype, info.dtype))
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
