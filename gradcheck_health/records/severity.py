"""How bad a finding is; a file of its own, because the settings are loaded where no finding is."""

from __future__ import annotations

import enum


class Severity(str, enum.Enum):
    """As in SARIF. An error fails an assertion; a warning is likely harmful; a note is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
