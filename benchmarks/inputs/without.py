"""The method with one of its ideas taken away: each switch replaces a named function for the length of a block."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import gradcheck_health.inputs
from gradcheck_health.inputs import strategies
from gradcheck_health.inputs.search import make_up, search, trial
from gradcheck_health.inputs.search.optional_arguments import Reach
from gradcheck_health.inputs.static import argument_roles, model_info
from gradcheck_health.inputs.wants import from_failure

_run = trial.TrialRunner.run


def _no_coverage(self: Any, plan: Any) -> Any:
    outcome = _run(self, plan)
    outcome.coverage = 1
    return outcome


def _no_second_phase(model_info: Any, outcome: Any, seed: int, trials: int) -> Reach:
    return Reach(outcome, trials, (), ())


SWITCHES: dict[str, tuple[str, tuple[Any, str, Any]]] = {
    "declarations": (
        "what models and their configurations declare is not read",
        (gradcheck_health.inputs, "STRATEGIES", (strategies.from_search,)),
    ),
    "coverage": ("the search does not know how far a trial got", (trial.TrialRunner, "run", _no_coverage)),
    "solver": ("no size is solved for", (search, "solve", lambda *_: [])),
    "statements": ("failing Python statements are not read", (from_failure, "python_wants", lambda *_: [])),
    "source": ("forward's source is not read for the first guess", (model_info, "first_use", lambda *_: None)),
    "roles": ("names of arguments mean nothing", (argument_roles, "by_name", lambda *_: None)),
    "second phase": ("nothing is added after the first success", (make_up, "maximise", _no_second_phase)),
}
"""Name -> (what is gone, (owner, function, replacement))."""


@contextlib.contextmanager
def without(name: str | None) -> Iterator[None]:
    """The block runs without this idea; whole where the name is None."""
    if name is None:
        yield
        return
    owner, function, replacement = SWITCHES[name][1]
    with mock.patch.object(owner, function, replacement):
        yield
