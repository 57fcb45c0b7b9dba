"""One call of a step of the user's own: what lies further out on the stack than this file is not part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcheck_health.model.distributed.ranks import jointly
from gradcheck_health.records.errors import GradhealthError, ModelError, describe_error


def call_step(step: Callable[..., Any], batch: tuple[Any, ...]) -> None:
    """Raises: ModelError: it raised."""
    try:
        with jointly("the training step"):
            step(*batch)
    except GradhealthError:
        raise
    except Exception as error:
        raise ModelError(f"step= raised {describe_error(error)}") from error
