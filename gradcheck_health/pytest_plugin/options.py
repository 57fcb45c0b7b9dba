"""The options `--gradhealth-*`."""

from __future__ import annotations

from typing import Any

import pytest

OPTIONS: dict[str, dict[str, Any]] = {
    "select": {"action": "append", "metavar": "RULE[,RULE]", "help": "run only these rules; repeatable"},
    "ignore": {
        "action": "append",
        "metavar": "RULE[:PATTERN][=REASON]",
        "help": "accept findings of a rule on names that match; repeatable",
    },
    "config": {"metavar": "FILE", "help": "read settings from this file only"},
    "set": {
        "action": "append",
        "metavar": "KEY=VALUE",
        "help": "one setting, such as rules.dead-unit.max_fraction=0.3; repeatable",
    },
    "fail-on": {"choices": ["error", "warning", "note"], "help": "the least severity that fails (default: error)"},
    "seed": {"type": int, "metavar": "N", "help": "seed of inputs, projections and initialisations (default: 0)"},
    "rounds": {"type": int, "metavar": "N", "help": "measure a model at most this often before a verdict (default: 5)"},
    "device": {"metavar": "DEVICE", "help": "where to run, such as cpu or cuda:1"},
    "dtype": {"metavar": "DTYPE", "help": "floating dtype, such as float64"},
    "baseline": {
        "metavar": "FOLDER",
        "help": "fail on what is worse than in the baseline of the test, kept in this folder",
    },
    "fail-if": {
        "action": "append",
        "metavar": "EXPRESSION",
        "help": "what counts as worse, such as flow:-1dec or dead_fraction:+5pp; repeatable",
    },
    "update": {"action": "store_true", "help": "write the baselines of the tests that run: accept what is there"},
    "update-new-only": {"action": "store_true", "help": "write baselines where there is none, and compare with the others"},
    "batch-size": {"type": int, "metavar": "N", "help": "samples in a made-up batch"},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradhealth", "gradient health (gradcheck_health)")
    for name, option in OPTIONS.items():
        group.addoption(f"--gradhealth-{name}", dest=_dest(name), default=None, **option)


def given(config: pytest.Config) -> dict[str, Any]:
    """The value of every option by its name with underscores; None where it was not given."""
    return {name.replace("-", "_"): config.getoption(_dest(name)) for name in OPTIONS}


def _dest(name: str) -> str:
    return f"gradhealth_{name.replace('-', '_')}"
