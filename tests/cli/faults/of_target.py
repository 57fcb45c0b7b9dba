"""Targets that are no ordinary file, or stand where others do."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.cli.faults.fault import SOUND, Fault


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket.py"))  # 107 bytes at most


def _link(name: str, to: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(to)


def _huge(folder: Path) -> None:
    with (folder / "huge.py").open("wb") as file:
        file.truncate(2**40)


def _undecodable(folder: Path) -> None:
    (folder / os.fsdecode(b"net_\xff.py")).write_text(SOUND)


RELATIVE = "from .parts import width\n" + SOUND.replace("nn.Linear(4, 8)", "nn.Linear(4, width)")

FAULTS = {
    "no such file": Fault(2, "did you mean 'fault.py'?", SOUND, target="fualt.py", at_once=True),
    "no such name": Fault(2, "did you mean 'Net'?", SOUND, target="fault.py:Nett"),
    "no such module": Fault(2, "no module", target="no_such_package.models:Net"),
    "name of something else": Fault(2, "got an int", "width = 3\n", target="fault.py:width"),
    "nothing before the colon": Fault(2, "got no name", target=":Net", at_once=True),
    "a name that is none": Fault(2, "got no name", SOUND, target="fault.py:1 + 1", at_once=True),
    "no text": Fault(2, "got no name", target="", at_once=True),
    "a name of 5000 characters": Fault(2, "x", target="x" * 5000 + ".py", at_once=True),
    "not Python": Fault(2, "got a .txt file", files={"fault.txt": SOUND}, target="./fault.txt", at_once=True),
    "file that shadows torch": Fault(
        0, files={"torch.py": SOUND.replace("from torch import nn", "import torch.nn as nn")}, target="torch.py"
    ),
    "file that shadows the standard library": Fault(0, files={"json.py": SOUND}, target="json.py"),
    "torch beside it is another": Fault(
        0, text=SOUND, files={"torch.py": "raise ImportError('shadowed')\n", "random.py": "1 / 0\n"}
    ),
    "blanks in its name": Fault(0, files={"my model.py": SOUND}, target="my model.py"),
    "keyword as a name": Fault(0, files={"class.py": SOUND}, target="class.py"),
    "dots in its name": Fault(0, files={"net.v2.py": SOUND}, target="net.v2.py"),
    "letters beyond ASCII": Fault(0, files={"netz_\xe4\u4e2d\U0001f600.py": SOUND}, target="netz_\xe4\u4e2d\U0001f600.py"),
    "relative import in a package": Fault(
        0, files={"pkg/__init__.py": "", "pkg/parts.py": "width = 8\n", "pkg/net.py": RELATIVE}, target="pkg/net.py"
    ),
    "package that raises": Fault(
        3, "ZeroDivisionError", files={"pkg/__init__.py": "1 / 0\n", "pkg/net.py": SOUND}, target="pkg/net.py"
    ),
    "package called torch": Fault(
        0,
        files={
            "torch/__init__.py": "",
            "torch/parts.py": "width = 8\n",
            "torch/net.py": RELATIVE.replace(
                "from torch import nn", "import importlib; nn = importlib.import_module('torch.nn')"
            ),
        },
        target="torch/net.py",
    ),
    "folder without Python": Fault(2, "no Python file in it", files={"folder/readme.md": ""}, target="folder", at_once=True),
    "pipe": Fault(2, "no regular file", target="pipe.py", at_once=True, lay=lambda folder: os.mkfifo(folder / "pipe.py")),
    "socket": Fault(2, "no regular file", target="socket.py", at_once=True, lay=_socket),
    "device": Fault(2, "no regular file", target="zero.py", at_once=True, lay=_link("zero.py", "/dev/zero")),
    "folder called like a file": Fault(
        2, "no Python file in it", target="net.py", at_once=True, lay=lambda folder: (folder / "net.py").mkdir()
    ),
    "link to nothing": Fault(2, "no file", target="gone.py", at_once=True, lay=_link("gone.py", "nowhere.py")),
    "link to itself": Fault(2, "no file", target="loop.py", at_once=True, lay=_link("loop.py", "loop.py")),
    "file of a terabyte": Fault(2, "larger than 16 MiB", target="huge.py", at_once=True, lay=_huge),
    "file that cannot be read": Fault(3, "importing it raised", target="memory.py", lay=_link("memory.py", "/proc/self/mem")),
    "name that is no text": Fault(0, target=os.fsdecode(b"net_\xff.py"), lay=_undecodable),
}
