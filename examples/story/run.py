"""A model changes, commit by commit, and its baseline says what that does to the gradient. Needs git; keeps nothing.

python examples/story/run.py [FOLDER]     FOLDER: where to leave the repository and the reports, instead of a temporary one
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODEL = '''"""A small residual network with a side branch."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(32, 32)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.inner(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(16, 32)
        self.blocks = nn.ModuleList(Block() for _ in range(6))
        self.side = nn.Linear(16, 32)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        y = torch.relu(self.stem(x))
        for block in self.blocks:
            y = block(y)
        return self.head(y + self.side(x))
'''

SUFFIXES = (".sarif", ".json", ".github.txt")
"""A report for code scanning, one for machines, and the annotations of a pull request."""


class Story:
    """A repository, and the commands that its people type."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
        for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "FORCE_COLOR"):
            self.environment.pop(name, None)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)

    def gradhealth(self, *arguments: str, expected: int = 0, ci: bool = False) -> str:
        """What the command prints; ends the story where its exit code is another than the expected."""
        print(f"$ {'CI=true ' if ci else ''}gradhealth {' '.join(arguments)}")
        self.environment.pop("CI", None)
        if ci:
            self.environment["CI"] = "true"
        done = self.run(sys.executable, "-m", "gradcheck_health", *arguments)
        self.environment.pop("CI", None)
        text = done.stdout + done.stderr
        print(text)
        if done.returncode != expected:
            raise SystemExit(f"ended with {done.returncode}, expected was {expected}")
        return text

    def commit(self, message: str, **edits: str) -> None:
        """Replace the text `old` of the model by `new`, if they are given, and commit."""
        print(f"--- {message}\n")
        path = self.folder / "net.py"
        text = path.read_text() if path.exists() else MODEL
        if edits:
            assert edits["old"] in text, edits["old"]
            text = text.replace(edits["old"], edits["new"])
        path.write_text(text)
        identity = ("-c", "user.name=Story", "-c", "user.email=story@example.org", "-c", "commit.gpgsign=false")
        self.run("git", "add", "-A")
        self.run("git", *identity, "commit", "-q", "-m", message)


def tell(story: Story) -> None:
    story.run("git", "init", "-q", "-b", "main")
    story.commit("a sound model")
    story.gradhealth("check", "net.py:Net", "--baseline", expected=2, ci=True)
    story.gradhealth("baseline", "write", "net.py:Net", expected=2, ci=True)
    story.gradhealth("baseline", "write", "net.py:Net")
    story.commit("its baseline")
    story.gradhealth("check", "net.py:Net", "--baseline", ci=True)
    story.gradhealth("check", "net.py:Net", "--baseline", "--changed-since", "HEAD", ci=True)

    story.commit("smoother: Sigmoid instead of ReLU", old="self.act = nn.ReLU()", new="self.act = nn.Sigmoid()")
    reports = [part for suffix in SUFFIXES for part in ("-o", f"sigmoid{suffix}")]
    story.gradhealth("check", "net.py:Net", "--baseline", "--changed-since", "HEAD~1", *reports, expected=1, ci=True)
    story.commit("back to ReLU", old="self.act = nn.Sigmoid()", new="self.act = nn.ReLU()")

    story.commit("faster: no gradient for the side branch", old="self.side(x))", new="self.side(x).detach())")
    reports = [part for suffix in SUFFIXES for part in ("-o", f"detached{suffix}")]
    story.gradhealth("check", "net.py:Net", "--baseline", *reports, expected=1, ci=True)

    story.gradhealth("baseline", "update", "net.py:Net", "--reason", "the side branch is trained elsewhere")
    story.commit("the branch is detached on purpose")
    story.gradhealth("check", "net.py:Net", "--baseline", "-v", ci=True)

    story.commit("train the side branch again", old="self.side(x).detach())", new="self.side(x))")
    story.gradhealth("check", "net.py:Net", "--baseline", ci=True)
    story.gradhealth("baseline", "prune", "net.py:Net")
    story.commit("one accepted finding less")
    story.gradhealth("check", "net.py:Net", "--baseline", ci=True)


def main() -> None:
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        tell(Story(folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        tell(Story(Path(folder)))


if __name__ == "__main__":
    main()
