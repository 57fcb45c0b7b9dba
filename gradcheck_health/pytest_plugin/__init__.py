"""The pytest plugin. The only place that knows pytest: one file for each thing that it adds, each a plugin of its own.

pytest loads this at every start, whether or not a test checks gradients, so nothing here imports anything heavy until a test
does.
"""

from __future__ import annotations

import importlib

import pytest

PARTS = ("options", "marker", "fixture", "baseline", "collection", "summary", "launch")
"""The files of this folder that hold hooks or fixtures, in the order in which pytest comes to know them."""


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the parts: the first hook that pytest calls, and one that it calls for late comers, too."""
    for part in PARTS:
        name = f"{__name__}.{part}"
        pluginmanager.register(importlib.import_module(name), name)
