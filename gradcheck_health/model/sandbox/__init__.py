"""Leave no trace: everything that a block changes in a model and in the process is restored, also on KeyboardInterrupt."""

from __future__ import annotations

from gradcheck_health.model.sandbox.context import sandbox

__all__ = ["sandbox"]
