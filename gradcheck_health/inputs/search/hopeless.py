"""When to stop a search for inputs: the model raises the same error on every input, so the inputs are not to blame."""

from __future__ import annotations

import re

from gradcheck_health.inputs.search.trial import Outcome
from gradcheck_health.records import errors
from gradcheck_health.records.errors import message_of

_OF_ITS_OWN = (MemoryError, NotImplementedError, ImportError, NameError, OSError, RecursionError)
"""Kinds of errors that are rarely about the inputs, where no operation says what it wanted."""
_ARGUMENTS = ".forward() got an unexpected keyword argument"
"""A part is called with what it does not take; the model itself is called with the names that its signature has."""
_PRECISION = r"\b(?:CPU)?(?:Float|Double|Half|BFloat16)(?:Type|Tensor)?\b"
_PRECISIONS = re.compile(f"{_PRECISION}.*{_PRECISION}")
"""A model that mixes its own precisions: what it is fed has that of its weights."""
FEW, MANY = 5, 20
"""Different inputs on which a model raised the same, as far on as it came: for those kinds, and for every other."""


class RepeatedFailure:
    """Counts the furthest trials of a search as long as all fail in the same way, and none shows which inputs were needed."""

    def __init__(self) -> None:
        self._count = 0
        self._coverage = -1
        self._failure: tuple[str, ...] | None = None
        self._enough = MANY

    def take(self, outcome: Outcome) -> None:
        """Another trial."""
        if outcome.coverage < self._coverage:
            return
        failure = _failure(outcome)
        if outcome.coverage > self._coverage or failure != self._failure:
            self._count, self._coverage, self._failure = 0, outcome.coverage, failure
        if outcome.error is not None and failure is not None:
            self._count += 1
            self._enough = FEW if of_its_own(outcome.error) else MANY

    @property
    def hopeless(self) -> bool:
        """Further trials would show the same."""
        return self._count >= self._enough


def _failure(outcome: Outcome) -> tuple[str, ...] | None:
    """What failed and where; None for a trial that ran, or that showed what was wanted."""
    error = outcome.error
    if error is not None and errors.ran_out_of_memory(error):
        return ("no memory",)
    return None if error is None or outcome.edits else (type(error).__name__, message_of(error), outcome.place)


def of_its_own(error: BaseException) -> bool:
    """An error that other inputs would hardly spare: no memory, a missing module, an unwritten function, two precisions."""
    message = message_of(error)
    told = _ARGUMENTS in message or _PRECISIONS.search(message) is not None
    return told or isinstance(error, _OF_ITS_OWN) or errors.ran_out_of_memory(error)
