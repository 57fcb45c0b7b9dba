"""The options `--gradhealth-*`."""

from __future__ import annotations

from typing import Any

import pytest

from gradcheck_health.settings.catalogue import help_text, is_flag, number, options
from gradcheck_health.settings.setting import Option


def _plain(name: str, option: Option) -> dict[str, Any]:
    """An option that is one setting, as argparse takes it: without the capital letter."""
    text = help_text(name)
    made: dict[str, Any] = {"help": text[0].lower() + text[1:]}
    if is_flag(name):
        return made | {"action": "store_true"}
    if option.choices:
        return made | {"choices": list(option.choices)}
    if (kind := number(name)) is not None:
        made["type"] = kind
    return made | {"metavar": option.metavar or "N"}


_PLAIN = {**options("gate"), **options("model"), **options("remedies")}
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
    **{name.replace("_", "-"): _plain(name, option) for name, option in _PLAIN.items()},
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
