"""The settings that hold for a test: files, then options, then markers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck_health.pytest_plugin import options

if TYPE_CHECKING:
    from gradcheck_health.settings.config import Config
    from gradcheck_health.settings.source import Source


def settings_or_fail(request: pytest.FixtureRequest) -> Callable[[Any], Config]:
    """The settings for a model that this test checks; what is wrong with them fails it at once, in one clean message."""
    from gradcheck_health.records.errors import UsageError
    from gradcheck_health.settings.overrides import names_of
    from gradcheck_health.settings.resolution import validated

    nodeid = request.node.nodeid
    try:
        sources = [*from_file(request.config, request.path), *from_options(request.config), *_from_markers(request.node)]
        settings = validated(sources)
    except UsageError as error:
        text = str(error)
    else:
        return lambda model: settings.for_model(nodeid, *names_of(model))
    # outside of the handler, so that the report does not show one error as the cause of the other
    pytest.fail(f"gradhealth: {text}", pytrace=False)


def from_file(config: pytest.Config, near: Path) -> list[Source]:
    """The file that `--gradhealth-config` names, or the nearest one above the test file `near`."""
    from gradcheck_health.settings.config_files import in_files

    named = options.given(config)["config"]
    return in_files(Path(named) if named else None, start=near.parent)


def from_options(config: pytest.Config) -> list[Source]:
    """The options `--gradhealth-*` as settings."""
    from gradcheck_health.settings.from_options import sources

    given = options.given(config)
    return sources({**given, "settings": given["set"]}, prefix="--gradhealth-")


def _from_markers(node: pytest.Item) -> list[Source]:
    """The outermost first, so that a test's own marker goes over that of its class and module."""
    from gradcheck_health.records.errors import UsageError
    from gradcheck_health.settings.source import Source

    found = []
    for marker in reversed(list(node.iter_markers("gradhealth"))):
        if marker.args:
            raise UsageError(f"the marker takes keyword arguments only, such as seed=3; got {marker.args[0]!r}")
        found.append(
            Source("marker", {key: list(value) if isinstance(value, tuple) else value for key, value in marker.kwargs.items()})
        )
    return found
