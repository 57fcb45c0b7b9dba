"""One function a tool: a model and its inputs go in, what the tool raises comes out.

Each tool is used as its own documentation says it is used best, with inputs at hand and, where it wants a loss, with a random
projection of the output (or the loss that the model returns), which is the objective this package uses too. Only what speaks of
gradients, activations and the flow between samples counts: advice about memory formats or the AdamW decay of biases does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from gradcheck_health.probe.objective import objective

STEPS = 3


@dataclass(frozen=True)
class Alarm:
    """Something that a tool calls an error or a warning."""

    label: str
    """The tool's own name for it."""
    text: str
    """Everything it says, in which the place is looked for."""
    error: bool = True


MEANS: dict[str, frozenset[str]] = {
    "torchtest2:output_finite": frozenset({"nonfinite-gradient"}),
    "torchtest2:gradient_flow": frozenset(
        {"missing-gradient", "zero-gradient", "cut-gradient", "dead-unit", "nonfinite-gradient", "failed-backward"}
    ),
    "torchtest2:gradient_magnitude": frozenset({"exploding-gradient", "nonfinite-gradient"}),
    "torchtest2:params_change": frozenset(
        {"vanishing-gradient", "missing-gradient", "zero-gradient", "cut-gradient", "dead-unit", "saturated-activation"}
    ),
    "torchtest2:output_varies": frozenset({"constant-output", "dead-unit", "saturated-activation"}),
    "torchtest2:input_dependency": frozenset({"constant-output", "cut-gradient", "dead-unit", "saturated-activation"}),
    "torchtest2:batch_independence": frozenset({"mixed-samples"}),
    "torchtest2:eval_determinism": frozenset({"nondeterministic-gradient"}),
    "torchtest2:initial_loss": frozenset({"high-initial-loss", "double-softmax"}),
    "torchtest2:gradcheck": frozenset({"wrong-backward"}),
    "torchtest2:forward": frozenset({"failed-backward"}),
    "pytest-torch:gradients_finite": frozenset({"nonfinite-gradient"}),
    "pytest-torch:all_params_receive_grad": frozenset(
        {"missing-gradient", "zero-gradient", "cut-gradient", "dead-unit", "constant-output"}
    ),
    "pytest-torch:batch_invariant": frozenset({"mixed-samples"}),
    "pytest-torch:gradcheck": frozenset({"wrong-backward"}),
    "torch-audit:TA100": frozenset({"nonfinite-gradient"}),
    "torch-audit:TA102": frozenset({"exploding-gradient"}),
    "torch-audit:TA103": frozenset({"zero-gradient", "dead-unit", "cut-gradient"}),
    "torch-audit:TA104": frozenset({"missing-gradient", "cut-gradient"}),
    "torch-audit:TA105": frozenset({"dead-unit", "saturated-activation"}),
    "torch-audit:TA400": frozenset({"redundant-parameter"}),
    "torch-audit:TA405": frozenset({"dead-unit", "identical-units"}),
    "torch-audit:TA500": frozenset({"missing-gradient", "unregistered-parameter"}),
    "torchlens:find_nan": frozenset({"nonfinite-gradient"}),
    "torchlens:bisect_nan": frozenset({"nonfinite-gradient"}),
    "torchlens:bisect_nan_backward": frozenset({"nonfinite-gradient"}),
    "torchlens:gradient_flow_audit": frozenset(
        {"vanishing-gradient", "exploding-gradient", "zero-gradient", "missing-gradient", "cut-gradient", "nonfinite-gradient"}
    ),
    "preset:sagemaker-vanishing-gradient": frozenset({"vanishing-gradient", "zero-gradient"}),
    "preset:sagemaker-exploding-tensor": frozenset({"nonfinite-gradient"}),
    "preset:sagemaker-dead-relu": frozenset({"dead-unit"}),
    "preset:sagemaker-saturated-activation": frozenset({"saturated-activation"}),
    "preset:sagemaker-poor-weight-initialization": frozenset(
        {"vanishing-gradient", "exploding-gradient", "unbalanced-gradient"}
    ),
    "preset:sagemaker-weight-update-ratio": frozenset({"vanishing-gradient", "exploding-gradient", "zero-gradient"}),
    "preset:sagemaker-all-zero": frozenset({"zero-gradient", "dead-unit"}),
    "preset:sagemaker-unchanged-tensor": frozenset({"zero-gradient", "missing-gradient", "cut-gradient", "dead-unit"}),
    "preset:sagemaker-loss-not-decreasing": frozenset({"vanishing-gradient", "zero-gradient"}),
    "preset:autotrainer-vanishing-gradient": frozenset({"vanishing-gradient"}),
    "preset:autotrainer-exploding-gradient": frozenset({"exploding-gradient", "nonfinite-gradient"}),
    "preset:autotrainer-dying-relu": frozenset({"dead-unit"}),
    "preset:deepchecker-vanishing-gradient": frozenset({"vanishing-gradient", "zero-gradient"}),
    "preset:deepchecker-exploding-gradient": frozenset({"exploding-gradient", "nonfinite-gradient"}),
    "preset:deepchecker-dead-activation": frozenset({"dead-unit"}),
}
"""The tool's label -> the faults that it may stand for; read generously, in the tool's favour."""


Settings = Mapping[str, Any]
"""What the author of a model declares: its loss and targets, `causal=True`."""


def _loss(settings: Settings, output: Any) -> torch.Tensor:
    """The declared loss; otherwise the model's own, or a random projection."""
    given = settings.get("loss")
    if given is not None:
        loss = getattr(nn, given)() if isinstance(given, str) else given
        targets = (settings["targets"],) if "targets" in settings else ()
        value = loss(output, *targets)
        assert isinstance(value, torch.Tensor)
        return value
    goal = objective(output, loss=None, batch=None, seed=0)
    total = sum((root.double() * gradient).real.sum() for root, gradient in zip(goal.roots, goal.gradients, strict=True))
    if not isinstance(total, torch.Tensor):
        raise TypeError("nothing differentiable came out")
    return total


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, dict):
        return (), inputs
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def gradcheck_health(model: nn.Module, inputs: Any, settings: Settings) -> Iterator[Alarm]:
    """This package, with the same inputs."""
    from gradcheck_health import check_gradients

    for finding in check_gradients(model, inputs, **settings).active:
        if finding.severity != "note":
            places = " ".join(f"<{name}>" for name in finding.names)
            yield Alarm(f"gradcheck_health:{finding.rule}", f"{finding.message} {places}", finding.severity == "error")


def gradcheck_health_alone(model: nn.Module, inputs: Any, settings: Settings) -> Iterator[Alarm]:
    """This package, with nothing given but what belongs to targets."""
    yield from gradcheck_health(model, inputs if "targets" in settings else None, settings)


def torchtest2(model: nn.Module, inputs: Any, settings: Settings) -> Iterator[Alarm]:
    """`check_model` with one batch and its own random projection. Not its overfitting: the zoo has no targets to fit."""
    import torchtest2 as package

    loss = partial(_loss, settings) if "loss" in settings else None
    for result in package.check_model(model, inputs, loss_fn=loss).results:
        if result.status.value in ("FAIL", "WARN"):
            yield Alarm(f"torchtest2:{result.name}", f"{result.message} {result.details}", result.status.value == "FAIL")


def pytest_torch(model: nn.Module, inputs: Any, settings: Settings) -> Iterator[Alarm]:
    """Its gradient assertions, and the batch invariance of its inference contract."""
    from pytest_torch import assertions, training

    loss = partial(_loss, settings)
    checks: list[tuple[str, Callable[[], Any]]] = [
        ("gradients_finite", lambda: training.assert_gradients_finite(model, inputs, loss)),
        ("all_params_receive_grad", lambda: training.assert_all_params_receive_grad(model, inputs, loss)),
        ("batch_invariant", lambda: assertions.assert_batch_invariant(copy.deepcopy(model).eval(), inputs)),
    ]
    for name, check in checks:
        try:
            check()
        except AssertionError as error:
            yield Alarm(f"pytest-torch:{name}", str(error))
        except ValueError:  # "not applicable": no batch axis was found
            continue


def torch_audit(model: nn.Module, inputs: Any, settings: Settings) -> Iterator[Alarm]:
    """Its auditor around three training steps with Adam, every step audited."""
    from torch_audit.runtime import Auditor

    args, kwargs = _arguments(inputs)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    auditor = Auditor(model, optimizer=optimizer, every_n_steps=1, fail_level="FATAL")
    with auditor:
        auditor.audit_static()
        auditor.audit_init()
        for _ in range(STEPS):
            optimizer.zero_grad(set_to_none=True)
            auditor.backward(_loss(settings, auditor.forward(*args, **kwargs)))
            auditor.optimizer_step()
    for finding in auditor.finish().findings:
        label = f"torch-audit:{finding.rule_id}"
        level = str(getattr(finding.severity, "value", finding.severity)).upper()
        if label in MEANS and level in ("WARN", "WARNING", "ERROR", "FATAL"):
            yield Alarm(label, f"{finding.message} {finding.module_path} {finding.entity}", level.startswith(("E", "F")))


def torchlens(model: nn.Module, inputs: Any, settings: Settings) -> Iterator[Alarm]:
    """`trace.audit()` of a capture with gradients."""
    import torchlens as package

    args, kwargs = _arguments(inputs)
    log = package.trace(model, list(args), kwargs or None, capture=package.options.CaptureOptions(save_grads=True))
    try:
        outputs = [log[name].out for name in log.output_layers]
        log.log_backward(_loss(settings, outputs[0] if len(outputs) == 1 else outputs))
        for finding in log.audit().findings:
            if finding.severity != "info":
                text = f"{finding.message} {finding.ops} {finding.modules}"
                yield Alarm(f"torchlens:{finding.check}", text, finding.severity == "critical")
    finally:
        log.cleanup()


def _preset(name: str) -> Callable[[nn.Module, Any, Settings], Iterator[Alarm]]:
    def preset(model: nn.Module, inputs: Any, settings: Settings) -> Iterator[Alarm]:
        from gradcheck_health import check_gradients

        for finding in check_gradients(model, inputs, preset=name, **settings).active:
            yield Alarm(f"preset:{finding.rule}", f"{finding.message} {finding.names}")

    preset.__name__ = f"preset_{name}"
    return preset


TOOLS: dict[str, Callable[[nn.Module, Any, Settings], Iterator[Alarm]]] = {
    tool.__name__: tool
    for tool in (
        gradcheck_health,
        gradcheck_health_alone,
        torchtest2,
        pytest_torch,
        torch_audit,
        torchlens,
        *map(_preset, ("sagemaker", "autotrainer", "deepchecker")),
    )
}
