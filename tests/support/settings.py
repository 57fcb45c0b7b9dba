"""Rules with options of every kind, and settings read from a file with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from gradcheck_health.records.errors import UsageError
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.resolution import load


def shrinking(trace: object, *, min_ratio: float = 1e-4, optimizer: str = "sgd", steps: int = 3) -> Iterator[object]:
    yield from ()


def missing(
    trace: object, *, kinds: tuple[str, ...] = (), mode: Literal["all", "any"] = "all", limit: float | None = None
) -> None:
    del trace, kinds, mode, limit


RULES: Mapping[str, Callable[..., Any]] = {"shrinking-gradient": shrinking, "missing-gradient": missing}


def load_yaml(folder: Path, text: str, **keywords: Any) -> Config:
    (folder / "gradhealth.yaml").write_text(text)
    return load(folder, known_rules=RULES, **keywords)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_yaml(folder, text)
    return str(caught.value)


OVERRIDDEN = """
seed: 1
models: [nets/a.py:Net, nets/b.py]
overrides:
  - models: ["nets/*.py:Teacher"]
    seed: 2
    ignore: {missing-gradient: frozen on purpose}
  - models: [b.py, "pkg.nets:*"]
    batch-size: 7
    rules: {shrinking-gradient: {steps: 9}}
    reason: it is trained for nine steps
"""
