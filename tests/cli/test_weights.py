"""Files of weights are checked without the model's code: alone, and beside the file from before the training."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import cli
from gradcheck_health.check.saved_weights import check_weights
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.report import Report
from gradcheck_health.settings.config import Config


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4))


def saved(tmp_path: Path, state: Any, name: str = "after.pt") -> str:
    path = tmp_path / name
    torch.save(state, path)
    return str(path)


def trained(model: nn.Module, steps: int = 5) -> nn.Module:
    after = copy.deepcopy(model)
    optimizer = torch.optim.SGD(after.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(after(torch.randn(16, 3, 6, 6)), torch.randint(4, (16,))).backward()
        optimizer.step()
    return after


def change(model: nn.Module, what: Callable[[nn.Module], Any]) -> dict[str, Any]:
    with torch.no_grad():
        what(model)
    return model.state_dict()


def found(report: Report) -> list[tuple[str, Severity]]:
    return [(one.rule, one.severity) for one in report.findings]


def test_sound_weights_alone_and_beside_the_first_ones(tmp_path: Path) -> None:
    before, after = saved(tmp_path, net().state_dict(), "before.pt"), saved(tmp_path, trained(net()).state_dict())
    assert found(check_weights(before, Config())) == []
    assert found(check_weights(after, Config(), before)) == []


ALONE: dict[str, tuple[Callable[[nn.Module], Any], str, Severity, str]] = {
    "nan": (lambda m: m[4].weight[1, 2].fill_(math.nan), "nonfinite-weight", Severity.ERROR, "4.weight"),
    "inf": (lambda m: m[1].running_var[0].fill_(math.inf), "nonfinite-weight", Severity.ERROR, "1.running_var"),
    "shifted far below": (lambda m: m[1].bias.fill_(-7.0), "dead-channel", Severity.WARNING, "1"),
    "scales decayed": (lambda m: (m[1].weight.fill_(1e-4), m[1].bias.fill_(-1e-3)), "dead-channel", Severity.WARNING, "1"),
    "constant channels": (
        lambda m: (m[1].running_var.zero_(), m[1].bias.fill_(-0.1)), "dead-channel", Severity.WARNING, "1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALONE)
def test_fault_that_a_file_shows_alone(tmp_path: Path, case: str) -> None:
    what, rule, severity, place = ALONE[case]
    report = check_weights(saved(tmp_path, change(net(), what)), Config())
    assert found(report) == [(rule, severity)] and report.findings[0].names == (place,)


@pytest.mark.parametrize(
    "what",
    [
        lambda m: (m[1].weight.zero_(), m[1].bias.zero_()),  # a branch that starts at zero
        lambda m: m[1].bias[:5].fill_(-9.0),  # five of eight
        lambda m: m[1].bias.fill_(-4.0),  # one sample in thirty thousand gets through
        lambda m: m.register_buffer("mask", torch.full((4, 4), -math.inf).triu(1)),
        lambda m: m.register_buffer("best", torch.tensor(math.inf)),
    ],
    ids=["zero branch", "some", "far but not dead", "causal mask", "an infinity that waits"],
)
def test_what_is_as_it_should_be_is_no_finding(tmp_path: Path, what: Callable[[nn.Module], Any]) -> None:
    assert found(check_weights(saved(tmp_path, change(net(), what)), Config())) == []


@pytest.mark.parametrize("name", ["base.layers.0.q.lora_{}.weight", "base.layers.0.q.lora_{}.default.weight"])
def test_adapter_that_is_still_zero(tmp_path: Path, name: str) -> None:
    first, second = {name.format("A"): torch.randn(4, 8)}, {name.format("B"): torch.zeros(8, 4)}
    other = {name.format("B").replace(".0.", ".1."): torch.randn(8, 4)}
    assert found(check_weights(saved(tmp_path, {**first, **second}), Config())) == [("untrained-adapter", Severity.ERROR)]
    both = check_weights(saved(tmp_path, {**first, **second, **other}), Config())
    assert found(both) == [("untrained-adapter", Severity.WARNING)] and both.findings[0].names == (name.format("B"),)
    assert found(check_weights(saved(tmp_path, {**first, **other}), Config())) == []


def test_weights_that_did_not_move_or_hardly(tmp_path: Path) -> None:
    before = net().state_dict()
    base = saved(tmp_path, before, "before.pt")
    assert found(check_weights(base, Config(), base)) == [("unmoved-weight", Severity.ERROR)]
    part = saved(tmp_path, {**before, "4.weight": before["4.weight"] * 1.1})
    report = check_weights(part, Config(), base)
    assert found(report) == [("unmoved-weight", Severity.NOTE)] and report.ok and report.findings[0].names == ("0.weight",)
    hardly = {name: value * (1 + 3e-6) if value.is_floating_point() else value for name, value in before.items()}
    assert found(check_weights(saved(tmp_path, hardly), Config(), base)) == [("unmoved-weight", Severity.WARNING)]


def test_weight_that_exploded(tmp_path: Path) -> None:
    before, after = net().state_dict(), trained(net()).state_dict()
    base = saved(tmp_path, before, "before.pt")
    report = check_weights(saved(tmp_path, {**after, "0.weight": 25 * before["0.weight"]}), Config(), base)
    assert found(report) == [("exploded-weight", Severity.WARNING)] and report.findings[0].got == pytest.approx(25)
    assert found(check_weights(saved(tmp_path, {**after, "0.weight": 15 * before["0.weight"]}), Config(), base)) == []


def test_numbers_are_those_of_the_tensors_whatever_their_type(tmp_path: Path) -> None:
    before = {"w": torch.randn(30, 20), "half": torch.randn(5, 5).half(), "count": torch.tensor(3)}
    after = {"w": before["w"] + 0.1, "half": before["half"] * 2, "new": torch.ones(2, 2), "count": torch.tensor(4)}
    report = check_weights(saved(tmp_path, after), Config(), saved(tmp_path, before, "before.pt"))
    assert report.trace.saved is not None and report.trace.saved.unmatched == 1
    w, half, new = report.trace.saved.tensors
    assert (w.moved, w.base) == (pytest.approx(0.1 * 600**0.5), pytest.approx(float(before["w"].norm())))
    assert half.norm == pytest.approx(2 * half.base) and new.base is None  # type: ignore[operator]
    assert "1 tensor of one file" in report.trace.gaps[0]
    assert Report.from_json(report.to_json()) == report


def test_weights_below_a_key_are_found(tmp_path: Path) -> None:
    state = change(net(), lambda m: m[4].weight[0].fill_(math.nan))
    report = check_weights(
        saved(tmp_path, {"epoch": 3, "state_dict": state, "scale": {"s": torch.ones(1)}}, "a.ckpt"), Config()
    )
    assert found(report) == [("nonfinite-weight", Severity.ERROR)] and "under state_dict" in report.trace.inputs.description


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('run')",)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.bin"
    torch.save({"w": torch.ones(1), "code": Evil()}, path)
    with pytest.raises(UsageError, match="it holds more than tensors"):
        check_weights(str(path), Config())


Outcome = tuple[int, str, str]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command in this process: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            cli.main(["check", *arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call


def test_command_prints_writes_and_exits_as_for_models(tmp_path: Path, check: Callable[..., Outcome]) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    sick = change(net(), lambda m: m[4].weight[0].fill_(math.nan))
    safetensors.save_file(sick, tmp_path / "after.safetensors")
    saved(tmp_path, net().state_dict(), "before.pt")
    out = tmp_path / "out.json"
    code, text, _ = check("after.safetensors", "--against", "before.pt", "-o", str(out))
    assert code == 1 and "nonfinite-weight: 1 tensor of" in text and "4.weight" in text
    assert text.count("--against before.pt") == 1  # in the command that repeats it
    document = json.loads(out.read_text())
    assert [one["rule"] for one in document["reports"][0]["findings"]] == [
        "nonfinite-weight",
        "unmoved-weight",
    ]  # the rest is a note
    accepted = ["--ignore", "nonfinite-weight=known", "--set", "rules.dead-channel.max_share=0.5"]
    assert check("after.safetensors", *accepted)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.safetensors"], "there is no such file"),
        (["before.pt", "model.py"], "got a model beside files of weights"),
        (["before.pt", "--against", "model.py"], "--against: got model.py"),
        (["model.py", "--against", "before.pt"], "got a model beside files of weights"),
        (["empty.pt"], "there is no tensor in it"),
        (["before.pt", "--set", "rules.dead-channel.max_shar=1"], "max_share"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, check: Callable[..., Outcome], arguments: list[str], said: str) -> None:
    saved(tmp_path, net().state_dict(), "before.pt")
    saved(tmp_path, {"epoch": 3}, "empty.pt")
    code, _, error = check(*arguments)
    assert code == 2 and said in error and "Traceback" not in error
