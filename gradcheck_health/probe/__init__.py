"""The only place with hooks and backward passes: `probe(subject) -> Trace`, and `take` for what rules ask beyond it."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from functools import cache

from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.model.distributed.waiting import lost_rank
from gradcheck_health.probe.observe import probe
from gradcheck_health.probe.statistics.over_stages import can_be_taken, of_all_stages
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError, one_line, out_of_memory, ran_out_of_memory
from gradcheck_health.records.trace import Trace

__all__ = ["SHOWN_BY", "Subject", "can_be_taken", "described", "fact_names", "preload", "probe", "take"]


SHOWN_BY = {"stirred": "woken", "nudged": "kicked"}
"""Fact -> another one, dearer, that shows all of it: where both are needed, that one is enough."""


@cache
def fact_names() -> tuple[str, ...]:
    """Names of the facts that can be taken: one file each in `probe/facts`."""
    path = importlib.import_module("gradcheck_health.probe.facts").__path__
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path)))


def described(fact: str) -> str:
    """What a fact shows, in the words of the first line of its file; its name where the files have none."""
    text = importlib.import_module(f"gradcheck_health.probe.facts.{fact}").__doc__ or fact
    first = text.partition("\n")[0].rstrip(".")
    return first[:1].lower() + first[1:]


def preload() -> None:
    """Import the facts, for whoever is going to fork."""
    for fact in fact_names():
        importlib.import_module(f"gradcheck_health.probe.facts.{fact}")


def take(fact: str, subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """Measure one fact. The model comes back as it was. Empty where the model does not run under the fact's condition.

    Raises:
        ValueError: no such fact.
    """
    if fact not in fact_names():
        raise ValueError(f"no fact is called {fact!r}; there are {', '.join(fact_names())}")
    if not can_be_taken(fact, subject.model):
        return ()
    module = importlib.import_module(f"gradcheck_health.probe.facts.{fact}")
    together, failed = current(), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the model warns of, the first pass has shown
            measured: tuple[Trace, ...] = getattr(module, fact)(subject, trace)
    except (ModelError, RuntimeError, MemoryError) as error:
        if ran_out_of_memory(error):
            raise out_of_memory(f"while {fact} was measured", error) from error
        if together is not None and lost_rank(error) is not None:
            raise
        measured, failed = (), one_line(error)  # a cast to float32 inside, a batch that another seed makes impossible
    if together is not None:
        together.all_or_none(fact, failed)
    return tuple(of_all_stages(one, subject.model) for one in measured)
