"""What a fault is: files, the target to check, and what the command has to make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SOUND = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
"""

HEADER = """
import os, signal, sys, threading, time
import torch
from torch import nn
"""


@dataclass(frozen=True)
class Fault:
    """A target and what is expected of it."""

    code: int
    """The exit code of the whole command; 0 and 1 where the target is checked in spite of the fault."""
    words: str = ""
    """What the message of the target says."""
    text: str | bytes = ""
    """The file `fault.py`."""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    """Other files."""
    target: str = "fault.py"
    options: tuple[str, ...] = ()
    reports: int | None = None
    """Models of the target that have a report; None is one where `code` is 0 or 1, and none otherwise."""
    hangs: bool = False
    """Only a time limit ends it."""
    at_once: bool = False
    """The command line itself is wrong: told before any model is run."""
    lay: Callable[[Path], None] | None = None
    """Puts into the folder what is no ordinary file."""

    @property
    def alone(self) -> bool:
        """The target stands for itself wherever the command is run, or the command line is wrong as a whole."""
        return self.at_once or not self.target.partition(":")[0].endswith(".py")

    @property
    def checked(self) -> int:
        """How many reports the target gives."""
        return int(self.code in (0, 1)) if self.reports is None else self.reports


def sound(before: str = "", after: str = "") -> str:
    """A sound model in a file that does something else besides."""
    return f"{HEADER}{before}\n{SOUND}\n{after}\n"


def model(forward: str = "return self.inner(x)", init: str = "pass", before: str = "", methods: str = "") -> str:
    """A model with this in its `forward` and at the end of its `__init__`."""
    return f"""{HEADER}
{before}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 2)
        {init}
    def forward(self, x):
        {forward}
{methods}
"""


def backward(body: str) -> str:
    """A model whose backward pass runs this, with the gradient in `g`."""
    return model(
        "return Odd.apply(self.inner(x))",
        before=f"""
class Odd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y):
        return y * 1.0
    @staticmethod
    def backward(ctx, g):
        {body}
        return g
""",
    )
