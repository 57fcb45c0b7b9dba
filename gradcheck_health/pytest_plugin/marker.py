"""The marker `gradhealth(...)`: settings for the fixture of the same name."""

from __future__ import annotations

import pytest

from gradcheck_health.settings.catalogue import IN_A_CALL

MARKER = (
    f"gradhealth(*, {', '.join(IN_A_CALL)}): "
    'settings for the fixture `gradhealth`, such as ignore={"dead-unit": "ReLU at initialisation"}'
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A marked test that never asks for the fixture checks nothing, and should not look as if it did."""
    if item.get_closest_marker("gradhealth") and "gradhealth" not in getattr(item, "fixturenames", ()):
        item.warn(
            pytest.PytestWarning(f"{item.nodeid} has the marker gradhealth but does not use the fixture: nothing is checked")
        )
