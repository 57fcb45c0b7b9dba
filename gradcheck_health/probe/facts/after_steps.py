"""After three steps of training: does what was zero or missing wake up, and does the flow recover?"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch.nn.parameter import is_lazy

from gradcheck_health.model.call import drew
from gradcheck_health.model.distributed.kinds import is_sharded
from gradcheck_health.model.distributed.shards import local
from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.nest import map_tensors
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.subbatch import judged_on_few
from gradcheck_health.probe.observe import NO_GRADIENT, probe
from gradcheck_health.probe.statistics.tensor_stats import measure, plain
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.writes import Rewritten

STEPS = 3
CHANCES = 4
_PERTURBED = 3
"""Further looks at a batch that no other can be drawn for, perturbed."""
_SMALL = 0.1
"""Of a step, beside the weight that it changes."""
_LEAST = 4
"""Samples of a quarter of a batch."""


def after_steps(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """Traces before each of three Adam steps (learning rate 1e-3 at most), each of a quarter of another batch, and one after.

    The last one is of a whole batch: what few samples leave dead, constant or alike has to be so there, too.

    While trainable parameters have had no gradient, or only zeros, up to four more follow on a quarter of one, with every
    output projected: routing and stochastic depth need chances. Where nothing seems to depend on chance (forward drew no random
    numbers, and every look so far took the same way), one is enough, and none if no output was left out.
    Of a batch that was given copies follow, perturbed and permuted: a router may send all of the one batch the same way.
    """
    traces: list[Trace] = []
    with sandbox(subject.model):
        trainable = [p for p in subject.model.parameters() if p.requires_grad and not is_lazy(p)]
        optimizer = _Adam(trainable, _proportions(subject, trace) if subject.declared.optimizer != "adam" else {})
        varies = False
        written = _Written(subject, trace)
        equal = {one.parameter for one in trace.twins if one.size != 0.0}
        for k in range(1, STEPS + 2):
            one = _with_batch(subject, k)
            look = partial(probe, equal=equal)
            seen = look(one) if k > STEPS else _on_part(look, one)
            traces.append(dataclasses.replace(seen, rewritten=written.undone(seen)) if seen.rewritten else seen)
            varies = varies or drew(one.seed)
            if k <= STEPS:
                written.remember()
                optimizer.step()
                written.moved()
        varies = varies or len({_way(one) for one in (trace, *traces)}) > 1
        chances = CHANCES if varies else int(any(not out.probed and out.why != NO_GRADIENT for out in trace.outputs))
        for k in range(STEPS + 2, STEPS + 2 + chances):
            if not asleep((trace, *traces)):
                break
            traces.append(_chance(_with_batch(subject, k)))
        for k in range(_PERTURBED if subject.inputs.resample is None else 0):
            if not asleep((trace, *traces)):
                break
            with contextlib.suppress(ModelError, RuntimeError):  # ids in another order may mean nothing
                traces.append(_chance(dataclasses.replace(subject, inputs=_perturbed(subject.inputs, subject.seed + k))))
    return tuple(traces)


class _Written:
    """How much of a step the next forward undoes, in the parameters that forward writes over."""

    def __init__(self, subject: Subject, trace: Trace) -> None:
        names = {one.parameter for one in trace.rewritten}
        self._parameters = {
            entry.name: entry.tensor for entry in named_parameters(unwrap(subject.model)) if entry.name in names
        }
        self._before: dict[str, torch.Tensor] = {}
        self._after: dict[str, torch.Tensor] = {}

    def remember(self) -> None:
        self._before = {name: tensor.detach().clone() for name, tensor in self._parameters.items()}

    def moved(self) -> None:
        self._after = {name: tensor.detach().clone() for name, tensor in self._parameters.items()}

    def undone(self, seen: Trace) -> tuple[Rewritten, ...]:
        return tuple(dataclasses.replace(one, undone=self._share(one.parameter)) for one in seen.rewritten)

    def _share(self, name: str) -> float:
        if name not in self._after:
            return 0.0
        before, after, now = self._before[name], self._after[name], self._parameters[name].detach()
        stepped = before != after
        back = stepped & ((now - before).abs() < (now - after).abs())
        return float(back.sum() / stepped.sum().clamp(min=1))


def asleep(traces: tuple[Trace, ...]) -> set[str]:
    """Trainable parameters that none of the traces saw a gradient other than zero in."""
    awake = {
        name
        for trace in traces
        for name, parameter in trace.parameters.items()
        if parameter.gradient is not None and not parameter.gradient.is_zero
    }
    return {name for name, parameter in traces[0].parameters.items() if parameter.trainable} - awake


def _way(trace: Trace) -> frozenset[tuple[str, int]]:
    """How often each layer was called, and which parameters got no gradient, or one of zeros."""
    calls = [(name, layer.calls) for name, layer in trace.layers.items()]
    none = [(name, -1) for name, p in trace.parameters.items() if p.gradient is None or p.gradient.is_zero]
    return frozenset([*calls, *none])


def _chance(subject: Subject) -> Trace:
    return _on_part(partial(probe, every=True), subject)


def _on_part(look: Callable[[Subject], Trace], subject: Subject) -> Trace:
    """On a quarter of the batch."""
    return judged_on_few(look, subject, max(_LEAST, (subject.inputs.batch or 0) // 4))


def _perturbed(inputs: Inputs, seed: int) -> Inputs:
    """Every entry from another sample, each feature by itself, and as much noise again on floating ones."""
    generator = torch.Generator().manual_seed(seed)

    def perturb(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0 or tensor.numel() == 0 or tensor.layout != torch.strided or tensor.is_complex():
            return tensor
        order = torch.rand(tensor.shape, generator=generator).argsort(0).to(tensor.device)
        mixed = tensor.detach().gather(0, order)
        if not tensor.is_floating_point():
            return mixed
        noise = torch.randn(tensor.shape, generator=generator).to(tensor)
        return (mixed + noise * mixed.float().square().mean().sqrt().to(tensor)).requires_grad_(tensor.requires_grad)

    return dataclasses.replace(inputs, args=map_tensors(inputs.args, perturb), kwargs=map_tensors(dict(inputs.kwargs), perturb))


def _with_batch(subject: Subject, k: int) -> Subject:
    return dataclasses.replace(subject, inputs=subject.inputs.another(subject.seed + k), seed=subject.seed + k)


def _proportions(subject: Subject, trace: Trace) -> dict[int, float]:
    """id of a parameter -> the largest rate for it. What a rank holds of one may be a part alone: its rms is in the trace."""
    named = named_parameters(unwrap(subject.model))
    return {id(entry.tensor): _proportion(entry.tensor, trace.parameters.get(entry.name)) for entry in named}


def _proportion(parameter: torch.nn.Parameter, known: ParameterTrace | None) -> float:
    """A rate under which a step changes what a weight does by about a tenth at most; no bound for vectors and zeros.

    All entries of a step have one size, so that its spectral norm grows with the width, and that of a random weight with the
    root of it: Adam's 1e-3 turns a layer of 2048 units over in three steps, where SGD would hardly move it.
    """
    values = plain(parameter) if not is_lazy(parameter) and parameter.dim() > 1 and parameter.numel() else None
    sharded = known is not None and is_sharded(parameter)
    rms = 0.0 if values is None else known.value.rms if known is not None and sharded else measure(values).rms
    return _SMALL * rms / math.sqrt(math.prod(parameter.shape[1:])) if rms > 0.0 else math.inf


class _Adam:
    """Kingma and Ba 2015, written out: the first step of torch's own imports its compiler, which takes a second."""

    def __init__(self, parameters: list[torch.nn.Parameter], most: Mapping[int, float], rate: float = 1e-3) -> None:
        """Args: most: id of a parameter -> the largest rate for it: steps stay small beside weights, as those of SGD do."""
        self._parameters, self._steps = parameters, 0
        self._rates = [min(rate, most.get(id(parameter), math.inf)) for parameter in parameters]
        self._moments: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        self._steps += 1
        unbiased = math.sqrt(1 - 0.999**self._steps)
        growth = unbiased / (1 - 0.9**self._steps)
        for i, parameter in enumerate(self._parameters):
            if parameter.grad is None:
                continue
            gradient = local(parameter.grad if parameter.grad.layout == torch.strided else parameter.grad.to_dense())
            values = local(parameter).detach()
            if values.is_complex():
                gradient, values = torch.view_as_real(gradient), torch.view_as_real(values)
            gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))  # squares vanish in half precision
            if i in self._moments:
                mean, square = self._moments[i]
                mean.lerp_(gradient, 0.1)
                square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            else:
                mean, square = self._moments[i] = gradient * 0.1, gradient.square().mul_(0.001)
            rate = self._rates[i] * growth
            scale = square.sqrt().add_(1e-8 * unbiased)
            if values.dtype == mean.dtype:
                values.addcdiv_(mean, scale, value=-rate)
            else:
                values.sub_((mean / scale).mul_(rate).to(values.dtype))
