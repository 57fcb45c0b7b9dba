"""The targets that the settings name under `models`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradcheck_health.settings.source import Source
from gradcheck_health.targets.expand import seen_from


def declared(sources: Sequence[Source]) -> list[str]:
    """The targets that the settings name under `models`, as seen from the working directory."""
    for source in reversed(sources):
        if isinstance(models := source.table.get("models"), list):
            return [seen_from(Path(source.origin).parent, model) for model in models]
    return []
