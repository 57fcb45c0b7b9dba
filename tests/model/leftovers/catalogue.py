"""All hard models."""

from __future__ import annotations

from tests.model.leftovers import hard_attributes, hard_parameters, hard_tensors
from tests.model.leftovers.hard import hard_models
from tests.model.leftovers.hard_process import PROCESS

HELD = hard_models(hard_attributes, hard_parameters, hard_tensors)
"""They change what they hold."""
HARD = HELD + PROCESS
BEYOND = tuple(entry for entry in HARD if entry.beyond)
"""They cannot be put back in this process."""
