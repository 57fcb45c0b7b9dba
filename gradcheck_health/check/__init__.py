"""The composition: model -> inputs -> trace -> findings -> report."""

from __future__ import annotations

from gradcheck_health.check.api import assert_gradients_healthy, check_gradients

__all__ = ["assert_gradients_healthy", "check_gradients"]
