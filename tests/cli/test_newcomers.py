"""What a newcomer types first, and what the message says to do instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients, cli
from gradcheck_health.formats.terminal import render
from gradcheck_health.records.errors import UsageError

NET = """from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        return self.fc(x)
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(source: str, *arguments: str, name: str = "net.py", target: str = "") -> tuple[int, str]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        with pytest.raises(SystemExit) as ended:
            cli.main(["check", target or name, *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


GUARD = 'put what parses arguments, reads data or trains under `if __name__ == "__main__":`'


@pytest.mark.slow
@pytest.mark.parametrize(
    "tail",
    [
        "import argparse; p = argparse.ArgumentParser(); p.add_argument('--data', required=True); p.parse_args()",
        "raise SystemExit('no folder ./data')",
    ],
    ids=["argparse", "exit"],
)
def test_a_program_at_import_is_advised_to_guard_itself(run: Run, tail: str) -> None:
    code, said = run(NET + tail)
    assert code == 3 and GUARD in said
    assert "-c: error" not in said and "usage: -c" not in said


@pytest.mark.slow
def test_training_at_import_is_advised_to_guard_itself(run: Run) -> None:
    code, said = run(f"{NET}import torch\nwhile True: Net()(torch.randn(2, 4)).sum().backward()\n", "--timeout", "6")
    assert code == 4 and GUARD in said
    assert "while importing it" in said


def test_a_notebook_and_a_src_layout_are_hinted_at(run: Run) -> None:
    code, said = run("{}", name="cells.ipynb")
    assert code == 2 and "jupyter nbconvert --to script cells.ipynb" in said
    code, said = run(NET, name="src/pkg/model.py", target="pkg.model:Net")
    assert code == 2 and "did you mean the file src/pkg/model.py?" in said


@pytest.mark.slow
def test_a_loss_beside_a_model_is_no_news(run: Run) -> None:
    code, said = run(f"{NET}criterion = nn.CrossEntropyLoss()\n")
    assert code == 0 and "skipped" not in said
    code, said = run(f"{NET}criterion = nn.CrossEntropyLoss()\n", "-v")
    assert code == 0 and "skipped: net.py:criterion" in said


LOSSES = f"""{NET}
def own(out): return (out ** 2).mean()
def blind(out): return out.detach().mean() + 0 * out.sum()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "code", "words"),
    [
        ("cross_entropy", 0, "no unhealthy gradient"),
        ("MSELoss", 0, "no unhealthy gradient"),
        ("net.py:own", 0, "no unhealthy gradient"),
        ("net.py:blind", 1, "zero-gradient"),
        ("net.py:onw", 2, "did you mean 'own'?"),
        ("crossentropy", 2, "did you mean 'cross_entropy'?"),
        ("nowhere.py:own", 2, "no file nowhere.py"),
    ],
)
def test_a_loss_is_named_on_the_command_line(run: Run, loss: str, code: int, words: str) -> None:
    got, said = run(LOSSES, "--loss", loss)
    assert (got, words in said) == (code, True), said
    if code == 1:
        assert f"--loss {loss}" in said, "the line to repeat it"


@pytest.mark.slow
def test_a_step_that_was_not_taken_is_named(run: Run) -> None:
    step = NET + "    def training_step(self, batch, i): return self.trainer.loss(self(batch[0]), batch[1])\n"
    code, said = run(step)
    said = said.replace("\n         ", " ")
    assert code == 0 and "not seen: 1 region: training_step: " in said and "forward ran without a loss" in said, said
    code, said = run(step, "--loss", "MSELoss")
    assert code == 0 and "training_step" not in said


def test_a_class_that_needs_arguments_is_one_clear_error() -> None:
    class Needs(nn.Module):
        def __init__(self, config: object) -> None:
            super().__init__()

    with pytest.raises(
        UsageError, match=r"needs config, and is called without arguments: hand over .*Needs\(config\)"
    ) as raised:
        check_gradients(Needs)
    assert raised.value.__cause__ is None and raised.value.__suppress_context__


@pytest.mark.slow
def test_a_printed_report_names_places() -> None:
    report = check_gradients(
        nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(8, 8), nn.Sigmoid())]), torch.randn(8, 8)
    )
    assert " at 23 (Sigmoid), " in str(report) and "and 9 more" in str(report)
    shown: list[str] = []
    printer = type("Printer", (), {"text": lambda _, text: shown.append(text)})()
    report._repr_pretty_(printer, False)
    assert shown == [str(report)]
    assert "vanishing-gradient" in render(report)
