"""The parameters of a model that several ranks train, compared before and after some steps of theirs."""

from __future__ import annotations

import dataclasses

from torch import nn

from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.model.names import named_parameters
from gradcheck_health.probe.experiments.rank_copies import copies_apart
from gradcheck_health.records.ranks import Disagreement, RanksTrace
from gradcheck_health.records.trace import Trace


class Beside:
    """Of a model that lies on several ranks; nothing of one that does not."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._found: list[Disagreement] = []

    def look(self, when: str) -> None:
        """Args: when: "before" or "after" the steps; what was not the same before says nothing afterwards."""
        if current() is None or self._found:
            return
        named = named_parameters(self._model)
        what = "parameter" if when == "before" else "trained parameter"
        for entry, apart in zip(named, copies_apart([entry.tensor for entry in named]), strict=True):
            if apart is not None:
                self._found.append(Disagreement(entry.name, what, *apart))

    def told(self, trace: Trace) -> Trace:
        """The trace with what was found."""
        if (ranks := current()) is None:
            return trace
        seen = trace.only(parallel=RanksTrace(ranks.size, "the given step", disagreements=tuple(self._found)))
        return dataclasses.replace(trace, ranks=ranks.size, facts={"ranks": (seen,)})
