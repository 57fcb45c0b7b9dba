"""The command line: what it prints where, with which exit code, and that it is quick."""

from __future__ import annotations

import io
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import gradcheck_health
from gradcheck_health import cli, rules
from gradcheck_health.cli.commands import _console
from gradcheck_health.cli.workers import pool
from gradcheck_health.formats import _schema
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Severity
from gradcheck_health.records.report import Failure, NothingToCheck, Report
from gradcheck_health.settings.from_options import literal, sources
from gradcheck_health.settings.resolution import resolve
from tests.support.hostile import finding, report

MODEL = """
from torch import nn
print("noise of the model")
class Net(nn.Linear):
    def __init__(self, width=2):
        super().__init__(4, width)
"""
SOUND = report(model="Sound", target="a.py:Sound")
SICK = report(finding(), model="Sick", target="a.py:Sick")
WARNED = report(finding(severity=Severity.WARNING), model="Warned", target="a.py:Warned")
FAILED = Failure("b.py", "importing it raised ValueError: \x1b[31m\n  b.py:1", 3)
DIED = Failure("c.py", "its process died of SIGSEGV", 4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text("")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


Outcome = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command in this process: exit code, standard output, standard error."""

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[Any, ...]]]:
    """Let targets have these results, and record what was asked for."""

    def let(*made: Report | Failure | type[BaseException]) -> list[tuple[Any, ...]]:
        calls = []

        def check(*arguments: Any) -> Iterator[Report | Failure]:
            calls.append(arguments)
            for one in made:
                if isinstance(one, type):
                    raise one
                yield one

        monkeypatch.setattr(pool, "check", check)
        return calls

    return let


def execute(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    path = str(Path(gradcheck_health.__file__).parents[1])
    variables = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "gradcheck_health", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def ends(pid: str, seconds: float) -> bool:
    """The process is gone, or a zombie that nobody has reaped, within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


# ---- exit codes


@pytest.mark.parametrize(
    ("made", "options", "code"),
    [
        ((SOUND,), (), 0),
        ((SICK,), (), 1),
        ((SOUND, SICK), (), 1),
        ((WARNED,), (), 0),
        ((SICK,), ("--exit-zero",), 0),
        ((SICK, FAILED), (), 3),
        ((SICK, FAILED), ("--exit-zero",), 3),
        ((SOUND, FAILED, DIED), (), 4),
        ((), (), 2),
        ((), ("--exit-zero",), 2),
        ((KeyboardInterrupt,), (), 130),
        ((SICK, KeyboardInterrupt), ("--exit-zero",), 130),
    ],
)
def test_exit_code_is_that_of_the_worst(run: Any, results: Any, made: Iterable[Any], options: Iterable[str], code: int) -> None:
    results(*made)
    assert run("check", "a.py", *options)[0] == code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check",), "no target: name what to check"),
        (("check", "nope.py"), "no file nope.py"),
        (("check", "b.pyy"), "no module 'b.pyy'"),
        (("chek", "a.py"), "did you mean 'check'?"),
        (("a.py",), "gradhealth check a.py?"),
        (("check", "--sed", "3", "a.py"), "--seed"),
        (("check", "a.py", "-o", "x.docx"), "no format writes 'x.docx'"),
        (("check", "a.py", "--output-format", "xml"), "json"),
        (("check", "a.py", "--set", "sed=3"), "--set: sed: no such setting (did you mean 'seed'?)"),
        (("check", "a.py", "--set", "seed"), "--set name=value"),
        (("check", "a.py", "--set", "rules.x=3"), "rules.RULE.OPTION=VALUE"),
        (("check", "a.py", "--set", "x.y=3"), "'x' is no table"),
        (("check", "a.py", "--select", "vanishing-gradiant"), "did you mean 'vanishing-gradient'?"),
        (("check", "a.py", "--ignore", "missing-gradient="), "allowed: the reason why it is accepted"),
        (("check", "a.py", "--rounds", "0"), "--rounds: rounds: got 0 (a number); allowed: a whole number from 1"),
        (("check", "a.py", "--dtype", "float31"), "allowed: one of float64"),
        (("check", "a.py", "--config", "nope.yaml"), "no settings file nope.yaml"),
        (("check", "a.py", "--arg", "depth"), "--arg name=value"),
        (("check", "a.py", "--input", "x=f32[2]", "--input", "f32[2]"), "name all of them"),
        (("explain", "vanishing-gradiant"), "did you mean 'vanishing-gradient'?"),
        (("check", "empty"), "no Python file in it defines what may be a model: a class"),
    ],
)
def test_usage_error_is_2_and_says_what_would_be_right(run: Any, folder: Path, arguments: Any, words: str) -> None:
    (folder / "empty").mkdir()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_nothing_in_a_directory_is_not_green(run: Any, results: Any, folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "blocks.py").write_text("class Block(object): pass\n")
    results(NothingToCheck("models/blocks.py", "no model in it"))
    code, _, err = run("check", "models")
    assert code == 2
    assert "nothing was checked" in err
    (folder / "models" / "net.py").write_text("class Net(object): pass\n")
    results(SOUND, NothingToCheck("models/blocks.py", "no model in it"))
    assert run("check", "models")[0] == 0, "a file without a model is no failure where others have one"
    results(NothingToCheck("models/blocks.py", "no model in it"))
    assert run("check", "models/blocks.py")[0] == 2, "but it is when it was asked for"
    results(SOUND, Failure("models/blocks.py", "its Block needs dim", 2))
    code, out, _ = run("check", "models")
    assert code == 2, "what could not be checked is not skipped"
    assert "not checked: models/blocks.py: its Block needs dim" in out


# ---- what goes where


def test_reports_go_to_stdout_and_failures_to_stderr_harmless(run: Any, results: Any) -> None:
    results(SOUND, SICK, FAILED)
    code, out, err = run("check", "a.py")
    assert code == 3
    assert out.index("Sound: no unhealthy gradient found") < out.index("vanishing-gradient in Sick (1 error)")
    assert "2 checked: 1 healthy, 1 unhealthy, 1 not checked" in out
    assert "failed: b.py: importing it raised ValueError: \\x1b[31m\n  b.py:1\n" in err
    assert "\x1b" not in out + err


def test_json_alone_is_on_stdout_and_a_file_holds_the_same(run: Any, results: Any, folder: Path) -> None:
    results(SOUND, SICK, FAILED)
    code, out, _ = run("check", "a.py", "--output-format", "json", "-o", "out.json", "-o", "out.txt")
    document = json.loads(out)
    jsonschema.Draft202012Validator(json.loads(_schema.PATH.read_text())).validate(document)
    assert document["exit_code"] == code == 3
    assert [entry["model"] for entry in document["reports"]] == ["Sound", "Sick"]
    assert document["failures"] == [{"target": "b.py", "message": FAILED.message, "exit_code": 3}]
    assert (folder / "out.json").read_text() == out
    assert "vanishing-gradient in Sick" in (folder / "out.txt").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["a.py", "b.py", "c.py", "out.json", "out.txt"], (
        "no temporary file"
    )


@pytest.mark.parametrize("options", [(), ("--output-format", "github"), ("--output-format", "terminal")], ids=" ".join)
def test_job_of_github_gets_annotations_and_a_summary(
    run: Any, results: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    (folder / "summary.md").write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    results(SOUND, SICK, FAILED)
    code, out, _ = run("check", "a.py", *options)
    assert code == 3
    asked = options[-1:]
    assert ("vanishing-gradient in Sick (1 error)" in out) == (asked != ("github",))
    commands = [line.partition(" ")[0] for line in out.splitlines() if line.startswith("::")]
    summary = (folder / "summary.md").read_text()
    if asked == ("terminal",):
        assert (commands, summary) == ([], "before\n")
    else:
        assert commands == ["::error", "::error"]
        assert summary.startswith("before\n# Gradient health: 1 of 2 models unhealthy, 1 not checked\n")


@pytest.mark.slow
@pytest.mark.parametrize(("there", "most"), [(0, 900_000), (890_000, 900_000), (899_500, 899_500)])
def test_summary_keeps_below_what_the_forge_takes(
    run: Any, results: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, there: int, most: int
) -> None:
    (folder / "summary.md").write_text("x" * there)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    results(*[report(*[finding(message="m" * 500)] * 40, model=f"Net{i}") for i in range(60)])
    _, out, _ = run("check", "a.py")
    size = (folder / "summary.md").stat().st_size
    assert most - 1000 < size <= most
    assert len([line for line in out.splitlines() if line.startswith("::")]) <= 10


def test_summary_that_cannot_be_written_is_reported(
    run: Any, results: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder))
    results(SOUND)
    code, _, err = run("check", "a.py")
    assert code == 0
    assert "cannot be written" in err


@pytest.mark.parametrize("arguments", [("nope.py",), ("a.py", "--seed=-1"), ("a.py", "--config=nope.yaml"), ()])
def test_usage_error_is_a_document_too(run: Any, arguments: tuple[str, ...]) -> None:
    code, out, err = run("check", *arguments, "--output-format", "json")
    document = json.loads(out)
    assert document["exit_code"] == code == 2
    assert document["failures"][0]["message"] in err


def test_terminal_is_reported_what_is_being_done_and_a_pipe_is_not() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, expected in ((Terminal(), "\r\x1b[2Kchecking \\x1b ...\r\x1b[2Kresult\n"), (io.StringIO(), "result\n")):
        status = _console.Status(stream)
        status("checking \x1b")
        status.above(stream.write)("result\n")
        status("")
        assert stream.getvalue() == expected


def test_line_of_a_long_run_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream, now = Terminal(), [100.0]
    monkeypatch.setattr(_console.time, "monotonic", lambda: now[0])
    status = _console.Status(stream, tick=0.01)
    status("checking a.py")
    now[0] += 75.0
    deadline = time.time() + 10
    while "75 s" not in stream.getvalue() and time.time() < deadline:
        time.sleep(0.01)
    status("")
    assert "checking a.py ... 75 s" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_interruption_keeps_what_was_checked(run: Any, results: Any) -> None:
    results(SICK, KeyboardInterrupt)
    code, out, _ = run("check", "a.py", "--output-format", "json")
    assert code == 130
    assert json.loads(out)["reports"][0]["model"] == "Sick"


def test_file_that_cannot_be_written_is_reported_and_the_old_one_stays(run: Any, results: Any, folder: Path) -> None:
    results(SOUND)
    (folder / "dir.json").mkdir()
    code, _, err = run("check", "a.py", "-o", "dir.json", "-o", "good.json")
    assert code == 2
    assert "dir.json cannot be written" in err
    assert (folder / "good.json").is_file(), "the others are written all the same"


def test_quiet_and_verbose(run: Any, results: Any) -> None:
    results(SOUND, SICK, report(finding(severity=Severity.NOTE, message="worth knowing"), model="Noted"))
    _, out, _ = run("check", "a.py", "-q")
    assert "Sound" not in out
    assert "Sick" in out
    assert "worth knowing" not in run("check", "a.py")[1]
    assert "worth knowing" in run("check", "a.py", "-v")[1]


@pytest.mark.parametrize(
    ("variables", "options", "colored"),
    [
        ({}, (), False),
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({}, ("--color", "always"), True),
        ({"FORCE_COLOR": "1"}, ("--color", "never"), False),
        ({"FORCE_COLOR": "1"}, ("--output-format", "json"), False),
    ],
)
def test_color(run: Any, results: Any, monkeypatch: Any, variables: dict[str, str], options: Any, colored: bool) -> None:
    results(report(finding(message="in [/bold] [red]"), model="[bold]"))
    plain = run("check", "a.py", "--color", "never")[1]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    painted = run("check", "a.py", *options)[1]
    assert ("\x1b[" in painted) == colored
    if "json" not in options:
        assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == plain


# ---- options become settings


def settings_of(run: Any, results: Any, *options: str) -> Any:
    calls = results(SOUND)
    code, _, err = run("check", "a.py", *options)
    assert code == 0, err
    _, given, timeout, _ = calls[0]
    config = resolve(given)
    assert config.timeout == timeout
    return config


def test_options_are_settings_over_those_of_the_file(run: Any, results: Any, folder: Path) -> None:
    (folder / "gradhealth.yaml").write_text("seed: 1\nrounds: 2\nignore: {dead-unit: at the start}\n")
    options = ["--seed=4", "--set=rules.vanishing-gradient.min_ratio=1e-3", "--ignore=missing-gradient:aux.*=on purpose"]
    options += ["--ignore=zero-gradient", "--select=dead-unit,zero-gradient", "--select=missing-gradient", "--timeout=9"]
    options += ["--arg=depth=3", "--arg=name=relu", "--arg=sizes=(1, 2)", "--input=x=f32[B,4]", "--fail-on=note"]
    config = settings_of(run, results, *options)
    assert (config.seed, config.rounds, config.timeout, config.fail_on) == (4, 2, 9.0, Severity.NOTE)
    assert config.rules == {"vanishing-gradient": {"min_ratio": 1e-3}}
    assert config.select == ("dead-unit", "zero-gradient", "missing-gradient")
    assert config.ignore == {
        "dead-unit": "at the start",
        "missing-gradient:aux.*": "on purpose",
        "zero-gradient": "ignored on the command line",
    }
    assert config.args == {"depth": 3, "name": "relu", "sizes": (1, 2)}
    assert config.inputs == {"x": "f32[B,4]"}
    assert config.origins["seed"] == "--seed"
    assert settings_of(run, results, "--isolated").seed == 0
    (folder / "other.toml").write_text("seed = 7\n")
    assert settings_of(run, results, "--config", "other.toml").seed == 7


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-8", 1e-8),
        ("true", True),
        ("False", False),
        ("null", None),
        ("relu", "relu"),
        ("[1, 'a']", [1, "a"]),
        (r"\d", r"\d"),
        ("", ""),
    ],
)
def test_value_on_the_command_line_is_a_literal_or_text(text: str, value: object) -> None:
    assert literal(text) == value
    assert type(literal(text)) is type(value)


def test_inputs_without_names_are_one_or_a_list() -> None:
    assert sources({"inputs": ("f32[2,3]",)})[0].table == {"inputs": "f32[2,3]"}
    assert sources({"inputs": ("f32[2,3]", "i64[2]<5")})[0].table == {"inputs": ["f32[2,3]", "i64[2]<5"]}
    with pytest.raises(UsageError):
        sources({"inputs": ("x=f32[2]", "f32[2]")})


def test_directory_is_searched_and_nothing_in_it_is_imported(run: Any, results: Any, folder: Path) -> None:
    tree = {
        "zoo/net.py": "class Net(Base): pass\nraise SystemExit",
        "zoo/deep/made.py": "def build(): pass",
        "zoo/broken.py": "def f(:",
        "zoo/tools.py": "class Plain: pass\ndef helper(): pass",
        "zoo/test_net.py": "class TestNet(Base): pass",
        "zoo/setup.py": "class Setup(Base): pass",
        "zoo/.hidden/net.py": "class Net(Base): pass",
        "zoo/__pycache__/net.py": "class Net(Base): pass",
        "zoo/venv/net.py": "class Net(Base): pass",
    }
    for name, text in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "zoo" / "loop").symlink_to(folder / "zoo")
    calls = results(SOUND)
    run("check", "zoo", "zoo/net.py", "a.py")
    assert sorted(call[0] for call in calls) == ["a.py", "zoo/broken.py", "zoo/deep/made.py", "zoo/net.py"]


def test_models_of_the_settings_are_checked_where_no_target_is_given(
    run: Any, results: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    (folder / "gradhealth.yaml").write_text("models: [a.py:Net, b.py, 'package.nets:build']\n")
    calls = results(SOUND)
    assert run("check")[0] == 0
    assert [call[0] for call in calls] == ["a.py:Net", "b.py", "package.nets:build"]
    monkeypatch.chdir(folder / "sub")  # they are seen from the file
    calls.clear()
    run("check")
    assert [call[0] for call in calls] == ["../a.py:Net", "../b.py", "package.nets:build"]
    calls.clear()
    run("check", "../c.py")
    assert [call[0] for call in calls] == ["../c.py"]


@pytest.mark.slow
def test_override_reaches_the_process_of_its_model(folder: Path) -> None:
    (folder / "nets.py").write_text(MODEL + "class Other(Net): pass\n")
    (folder / "gradhealth.yaml").write_text(
        "seed: 1\nmodels: [nets.py]\noverrides:\n  - {models: ['nets.py:Other'], seed: 2, ignore: {dead-unit: known}}\n"
    )
    done = execute("check", "--output-format", "json")
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)["reports"]
    assert [(one["model"], one["seed"], one["unmatched"]) for one in reports] == [
        ("Net", 1, []),
        ("Other", 2, ["dead-unit"]),
    ]


# ---- the rules explain themselves


def test_rules_lists_every_rule_with_its_first_line(run: Any) -> None:
    code, out, _ = run("rules")
    assert code == 0
    for name, rule in rules.builtin().items():
        assert re.search(rf"^{name} +{re.escape((rule.__doc__ or '').splitlines()[0])}$", out, re.MULTILINE)


@pytest.mark.parametrize("name", rules.names())
def test_explain_shows_the_whole_docstring_and_every_option(run: Any, name: str) -> None:
    code, out, _ = run("explain", name)
    rule = rules.builtin()[name]
    assert code == 0
    shown = " ".join(out.split())
    for paragraph in (rule.__doc__ or "").split("\n\n"):
        assert " ".join(paragraph.split()) in shown
    assert "\nBad:\n" in out and "\nGood:\n" in out
    for option, entry in rules.options(rule).items():
        assert option in out
        assert f"default {entry.default!r}" in out
    assert all(len(line) <= 80 or line.startswith("    gradhealth check ") for line in out.splitlines())


@pytest.mark.parametrize("command", [(), ("check",), ("rules",), ("explain",)])
def test_every_help_has_an_example(run: Any, command: tuple[str, ...]) -> None:
    for flag in ("-h", "--help"):
        code, out, _ = run(*command, flag)
        assert code == 0
        assert "Example" in out
        assert re.search(r"^ +gradhealth ", out, re.MULTILINE)
        assert out.isascii()


# ---- the whole way, in processes of their own


@pytest.mark.slow
def test_whole_way(folder: Path) -> None:
    (folder / "nets.py").write_text(MODEL)
    (folder / "own_rules.py").write_text("def quiet_rule(trace, *, limit: int = 3):\n    yield from ()\n")
    (folder / "gradhealth.yaml").write_text("extra-rules: ['own_rules:quiet_rule']\nrules: {quiet-rule: {limit: 4}}\n")
    done = execute("check", "nets.py:Net", "--arg", "width=3", "--output-format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "quiet-rule" in document["reports"][0]["rules"]
    assert document["reports"][0]["target"] == "nets.py:Net"
    assert document["reports"][0]["trace"]["parameters"]["weight"]["shape"] == [3, 4]
    assert "noise of the model" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_command_leaves_no_process(folder: Path, ended_by: signal.Signals) -> None:
    (folder / "loop.py").write_text("import os\nopen('pid', 'w').write(str(os.getpid()))\nwhile True: pass\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(gradcheck_health.__file__).parents[1])}
    command = [sys.executable, "-m", "gradcheck_health", "check", "loop.py"]
    # a shell lets what it starts in the background ignore SIGINT, and children inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    with process:
        for _ in range(600):
            if (folder / "pid").exists() and (folder / "pid").read_text():
                break
            time.sleep(0.1)
        process.send_signal(ended_by)
        _, err = process.communicate(timeout=30)
    if ended_by is signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in err
    assert "Traceback" not in err
    assert ends((folder / "pid").read_text(), seconds=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "times"),
    [
        (("--version",), 2.0),
        (("--help",), 2.8),
        (("check", "--help"), 2.8),
        (("rules",), 2.8),
        (("explain", "vanishing-gradient"), 5.5),
    ],
)
def test_door_opens_quickly(arguments: tuple[str, ...], times: float) -> None:
    """In processor time beside that of `import click`, the best of up to 21: neither a slow nor a busy machine decides."""

    def spent(run: Callable[[], Any]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run().returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    best = bare = math.inf
    for _ in range(21):
        bare = min(bare, spent(lambda: subprocess.run([sys.executable, "-c", "import click"])))
        best = min(best, spent(lambda: execute(*arguments, PYTHONDONTWRITEBYTECODE="")))
        if best < times * bare:
            break
    assert best < times * bare


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("rules",), ("explain", "dead-unit"), ("check", "a.py")])
def test_command_line_process_imports_nothing_heavy(arguments: tuple[str, ...], folder: Path) -> None:
    heavy = ("torch", "numpy", "rich", "pydantic")
    program = f"""
import sys
from gradcheck_health.cli.workers import pool
from gradcheck_health.cli import main
pool.check = lambda *_: iter(())
try:
    main({list(arguments)!r})
except SystemExit:
    print("HEAVY", *[name for name in {heavy!r} if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(gradcheck_health.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True, cwd=folder
    )
    assert done.stdout.splitlines()[-1] == "HEAVY"
