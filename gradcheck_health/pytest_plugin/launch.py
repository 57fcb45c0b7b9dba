"""Under torchrun: the first rank writes the files of the run, and ends before the others: torchrun ends all with the first."""

from __future__ import annotations

import contextlib
import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before the plugin that writes JUnit's XML looks at its option."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    from gradcheck_health.records.launch import in_turn, launched, writes

    if launched() is None or hasattr(config, "workerinput"):
        return
    until_the_end = contextlib.ExitStack()
    until_the_end.enter_context(in_turn())
    config.add_cleanup(until_the_end.close)
    if not writes() and getattr(config.option, "xmlpath", None):
        config.option.xmlpath = None


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """What the other ranks would remember for the next run, the first one does."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    from gradcheck_health.records.launch import writes

    cache = getattr(session.config, "cache", None)
    if cache is not None and not writes():
        cache.set = lambda key, value: None
