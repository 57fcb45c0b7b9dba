"""The source of a class is found as inspect finds it, without parsing its whole file."""

from __future__ import annotations

import importlib
import inspect

import pytest
import torch
from torch import nn

from gradcheck_health.model.source.lines import class_lines

MODULES = (
    "torch.nn.modules.conv",
    "torch.nn.modules.transformer",
    "torch.nn.modules.activation",
    "torch.distributions.normal",
    "dataclasses",
    "tests.zoo.sound.architectures",
    "tests.zoo.sick.cuts",
    "gradcheck_health.records.evidence",
    "gradcheck_health.records.trace",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_the_lines_of_a_class_are_those_of_inspect(name: str) -> None:
    module = importlib.import_module(name)
    classes = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == name]
    assert classes
    for cls in classes:
        assert class_lines(cls) == inspect.getsourcelines(cls), cls


def test_classes_that_do_not_stand_at_the_left_margin() -> None:
    class Inner(nn.Module):
        """Within a function."""

    class Inside:
        class Second(nn.Module):
            pass

    for cls in (Inner, Inside.Second):
        assert class_lines(cls) == inspect.getsourcelines(cls)


def test_a_class_without_source_raises_as_inspect_does() -> None:
    made = type("Made", (nn.Module,), {"__module__": "nowhere"})
    for cls in (made, torch.Size):
        with pytest.raises((OSError, TypeError)):
            class_lines(cls)
