"""The commands that write, update and prune a baseline, as messages spell them."""

from __future__ import annotations

import shlex

TWICE = " #"
"""Stands between the name of a test and the number of a check, where one test makes several."""


def command(action: str, target: str) -> str:
    """The command that writes, updates or prunes the baseline of a target, or of a test, whose name has `::` in it."""
    if "::" in target:
        flag = "--gradhealth-update-new-only" if action == "write" else "--gradhealth-update"
        return f"pytest {shlex.quote(target.partition(TWICE)[0])} {flag}"
    return f"gradhealth baseline {action} {shlex.quote(target)}"
