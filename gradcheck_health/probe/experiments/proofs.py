"""What is tried to be proven of one forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

from gradcheck_health.model.nest import leaves
from gradcheck_health.model.tree import modules
from gradcheck_health.model.wrappers import unwrap
from gradcheck_health.probe.experiments.subbatch import axis_of, unclear
from gradcheck_health.probe.samples.steps import LEAST, Steps, time_axis
from gradcheck_health.probe.samples.tracker import Samples
from gradcheck_health.probe.samples.training_reads import TrainingReads
from gradcheck_health.probe.subject import Subject


class Proofs:
    """Of `prove`, "apart" and "in order", those for which it is known what a sample, or a step, is."""

    def __init__(self, subject: Subject, prove: Collection[str]) -> None:
        self._reads = TrainingReads()
        samples = _samples(subject, self._reads) if "apart" in prove else None
        steps = _steps(subject, self._reads) if "in order" in prove else None
        self._samples, self._steps = samples, steps
        self.followed = [one for one in (samples, steps) if one is not None]
        self._in_training = any(vars(module).get("training") for module in modules(unwrap(subject.model)))

    @contextlib.contextmanager
    def noticed(self) -> Iterator[None]:
        """Around the call of the model."""
        reading = self._in_training and any(one.proving for one in self.followed)
        with self._reads.noticed() if reading else contextlib.nullcontext():
            yield

    def of(self, output: Any) -> set[str]:
        """What is proven of it."""
        apart = self._samples is not None and self._samples.apart(output)
        in_order = self._steps is not None and self._steps.in_order(output)
        return {name for name, proven in (("apart", apart), ("in order", in_order)) if proven}


def _samples(subject: Subject, reads: TrainingReads) -> Samples | None:
    """None where it is not known what a sample is."""
    fed, declared = subject.inputs, subject.declared.batch_axis
    if fed.batch is None or unclear(fed, 3, declared):
        return None
    tensors = [leaf.tensor for leaf in leaves((fed.args, dict(fed.kwargs)))]
    given = [(one, axis_of(one, fed.batch, declared)) for one in tensors]
    return Samples(unwrap(subject.model), given, fed.batch, reads)


def _steps(subject: Subject, reads: TrainingReads) -> Steps | None:
    """None where no input is a sequence behind a batch: tokens [samples, steps], features [samples, steps, features]."""
    fed = subject.inputs
    tensors = [leaf.tensor for leaf in leaves((fed.args, dict(fed.kwargs)))]
    if any(one.is_nested for one in tensors):  # of which no two sequences need be equally long
        return None
    sequences = [one for one in tensors if one.dim() == (3 if one.is_floating_point() else 2) and one.shape[0] == fed.batch]
    steps = sequences[0].shape[1] if sequences else 0
    if steps < LEAST or steps == fed.batch:
        return None
    return Steps(unwrap(subject.model), [(one, time_axis(one, steps)) for one in tensors], steps, reads)
