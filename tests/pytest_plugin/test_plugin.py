"""The plugin in real pytest runs: fixture, marker, options, warnings, and the ways in which people run pytest."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

import pytest

MODELS = """
    import pytest
    import torch
    from torch import nn

    class Sound(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        def forward(self, x):
            return self.body(x)

    class Sick(Sound):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(2, 2)
"""
Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, everything_imported: None) -> Run:
    """A test file with `MODELS` and this text, run by pytest in this process, or in one of its own."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # installed, the plugin loads itself; from a checkout it has to be named
    named = [] if entry_points(group="pytest11", name="gradhealth") else ["-p", "gradcheck_health.pytest_plugin"]

    def call(text: str, *options: str, subprocess: bool = False) -> pytest.RunResult:
        pytester.makepyfile(MODELS + text)
        start = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
        # "default": in this process the filters of the outer run hold, too
        cache = () if "cacheprovider" in options else ("-p", "no:cacheprovider")
        return start(*named, *cache, "--strict-markers", "-W", "default", *options)

    return call


@pytest.mark.slow
def test_sound_model_passes_and_the_report_is_returned(run: Run) -> None:
    result = run("""
    def test_instance(gradhealth):
        report = gradhealth(Sound())
        assert report.ok and report.model == "Sound"

    def test_factory_and_inputs(gradhealth):
        assert gradhealth(Sound, torch.randn(5, 6), seed=3).seed == 3
    """)
    result.assert_outcomes(passed=2)


@pytest.mark.slow
def test_failure_is_one_clean_message_with_the_rule_first(run: Run) -> None:
    result = run("""
    def test_sick(gradhealth):
        gradhealth(Sick())
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "missing-gradient in Sick (1 error)",
            "error: missing-gradient: 2 of 6 trainable parameters *",
            "    at         unused.*",
            "repeat:  pytest test_failure*.py::test_sick --gradhealth-seed 0",
            "explain: gradhealth explain missing-gradient",
            "accept:  ignore={'missing-gradient:unused.*': 'the reason'}",
            "FAILED *::test_sick - *",
        ]
    )
    text = result.stdout.str()
    assert "pytest_plugin/" not in text
    assert "Traceback" not in text
    assert "def test_sick" not in text


@pytest.mark.slow
def test_repeat_command_repeats(run: Run) -> None:
    text = """
    def test_sick(gradhealth):
        gradhealth(Sick())
    """
    first = run(text)
    assert "--gradhealth-seed 0" in first.stdout.str()
    run(text, "--gradhealth-seed", "7").stdout.fnmatch_lines(["*--gradhealth-seed 7"])


@pytest.mark.slow
def test_marker_sets_and_the_nearest_one_wins(run: Run) -> None:
    result = run("""
    pytestmark = pytest.mark.gradhealth(seed=1, ignore={"missing-gradient:unused.*": "kept for later"})

    @pytest.mark.gradhealth(seed=2, select=("missing-gradient", "zero-gradient"))
    class TestMarked:
        @pytest.mark.gradhealth(seed=3)
        def test_own(self, gradhealth):
            report = gradhealth(Sick())
            assert report.seed == 3
            assert sorted(report.rules) == ["missing-gradient", "zero-gradient"]
            assert [f.suppressed for f in report.findings] == ["kept for later"]

        def test_of_class(self, gradhealth):
            assert gradhealth(Sick()).seed == 2

    def test_of_module(gradhealth):
        assert gradhealth(Sick()).seed == 1
        assert gradhealth(Sick(), seed=9).seed == 9
    """)
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("sed=3", "*marker: sed: no such setting (did you mean 'seed'?)*"),
        ("seed='x'", "*marker: seed: got 'x' (text); allowed: a whole number from 0*"),
        ("3", "*the marker takes keyword arguments only*"),
        ("select=['vanishing-gradiant']", "*did you mean 'vanishing-gradient'?*"),
        ("ignore={'missing-gradient': ''}", "*allowed: the reason why it is accepted*"),
        ("rules={'vanishing-gradient': {'min_ration': 1}}", "*did you mean 'min_ratio'?*"),
    ],
)
def test_wrong_marker_is_an_error_that_says_what_would_be_right(run: Run, marker: str, words: str) -> None:
    result = run(f"""
    @pytest.mark.gradhealth({marker})
    def test_marked(gradhealth):
        gradhealth(Sound())
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])
    assert "During handling" not in result.stdout.str()


def test_marker_is_registered_with_its_keywords(run: Run) -> None:
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.gradhealth(*seed, *ignore, *): *"])


def test_marker_without_the_fixture_does_not_look_like_a_check(run: Run) -> None:
    result = run("""
    @pytest.mark.gradhealth(seed=1)
    def test_forgot():
        pass
    """)
    result.stdout.fnmatch_lines(["*PytestWarning: *test_forgot has the marker gradhealth but does not use the fixture*"])


@pytest.mark.slow
def test_settings_of_the_file_and_options_over_them(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("""
    [tool.gradhealth]
    seed = 5
    [tool.gradhealth.ignore]
    "missing-gradient:unused.*" = "known"
    """)
    text = """
    def test_file(gradhealth):
        assert gradhealth(Sick()).seed == 5
    """
    run(text).assert_outcomes(passed=1)
    run(text.replace("== 5", "== 6"), "--gradhealth-seed", "6").assert_outcomes(passed=1)
    pytester.makefile(".yaml", other="seed: 6\n")
    run(text.replace("== 5", "== 6"), "--gradhealth-config", "other.yaml").assert_outcomes(failed=1)
    options = ("--gradhealth-config", "other.yaml", "--gradhealth-ignore", "missing-gradient")
    run(text.replace("== 5", "== 6"), *options).assert_outcomes(passed=1)
    run(text, "--gradhealth-select", "vanishing-gradient", "--gradhealth-set", "seed=5").assert_outcomes(passed=1)


@pytest.mark.slow
def test_broken_settings_file_is_reported_with_its_line(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makefile(".yaml", gradhealth="seed: 1\nroundz: 3\n")
    result = run("""
    def test_any(gradhealth):
        gradhealth(Sound())
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*gradhealth.yaml:2: roundz: no such setting (did you mean 'rounds'?)*"])


WARNING = """
    from gradcheck_health import Finding, Place, Severity

    def always_warned(trace):
        yield Finding("always-warned", Severity.WARNING, "it is 3 (2 allowed)", (Place("body.0"),))

    def test_warned(gradhealth):
        gradhealth(Sound(), extra_rules=[always_warned])

    def test_fatal(gradhealth):
        gradhealth(Sound(), extra_rules=[always_warned], fail_on="warning")
"""


@pytest.mark.slow
def test_warnings_are_issued_at_the_line_of_the_test(run: Run) -> None:
    result = run(WARNING)
    result.assert_outcomes(passed=1, failed=1, warnings=1)
    result.stdout.fnmatch_lines(["*.py:2?: GradientHealthWarning: always-warned: it is 3 (2 allowed) at body.0, *:8 in Sound"])
    assert "gradhealth(Sound(), extra_rules=[always_warned])" in result.stdout.str()


@pytest.mark.slow
def test_warnings_as_errors_fail_only_what_is_warned_about(run: Run) -> None:
    quiet = """
    def test_sound(gradhealth):
        gradhealth(Sound())
    """
    run(quiet, "-W", "error").assert_outcomes(passed=1)
    result = run(WARNING, "-W", "error", "-k", "test_warned")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*GradientHealthWarning: always-warned*"])


@pytest.mark.slow
def test_error_of_the_model_can_be_caught_and_is_reported_without_our_frames(run: Run) -> None:
    result = run("""
    class Broken(Sound):
        def forward(self, x):
            raise ValueError("always broken")

    def test_broken(gradhealth):
        gradhealth(Broken(), torch.randn(2, 6))

    def test_caught(gradhealth):
        from gradcheck_health import GradhealthError
        with pytest.raises(GradhealthError, match="always broken"):
            gradhealth(Broken(), torch.randn(2, 6))
    """)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([">       gradhealth(Broken(), torch.randn(2, 6))", "*ValueError: always broken*"])
    assert "verify.py" not in result.stdout.str()


@pytest.mark.slow
@pytest.mark.parametrize("options", [("-n", "2"), ("-p", "no:terminal")], ids=" ".join)
def test_ways_to_run_pytest(run: Run, options: tuple[str, ...]) -> None:
    """Exit code 1, because one of the two is sick, and nothing else goes wrong."""
    result = run(
        """
    def test_sound(gradhealth):
        gradhealth(Sound())

    def test_sick(gradhealth):
        gradhealth(Sick())
    """,
        *options,
        subprocess=True,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    if "no:terminal" not in options:
        result.assert_outcomes(passed=1, failed=1)


HEAVY = ("torch", "numpy", "rich", "pydantic", "yaml", "click")
LOADED = f"""
    import sys

    def test_nothing_heavy():
        assert [name for name in {HEAVY!r} if name in sys.modules] == []
"""


def run_bare(pytester: pytest.Pytester, text: str) -> pytest.RunResult:
    """Without the models, which need torch; other plugins that import much are kept out."""
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess("-p", "gradcheck_health.pytest_plugin", "-p", "no:cacheprovider")


@pytest.fixture
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("only_ours")
def test_plugin_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    run_bare(pytester, LOADED).assert_outcomes(passed=1)


@pytest.mark.slow
@pytest.mark.usefixtures("only_ours")
@pytest.mark.parametrize("name", HEAVY)
def test_check_for_heavy_imports_can_fail(pytester: pytest.Pytester, name: str) -> None:
    """The test above, in a run where something does import the library: a stand-in of its name is enough."""
    pytester.makeconftest(f"import sys\nsys.modules[{name!r}] = sys")
    run_bare(pytester, LOADED).assert_outcomes(failed=1)


@pytest.mark.slow
@pytest.mark.usefixtures("only_ours")
def test_plugin_loads_in_ten_milliseconds(pytester: pytest.Pytester) -> None:
    """What it adds to a pytest that is loaded already: the best of five, in processor time."""
    result = run_bare(
        pytester,
        """
    import subprocess, sys

    CODE = "import pytest, time; t = time.process_time(); import gradcheck_health.pytest_plugin; print(time.process_time() - t)"

    def test_time():
        times = [float(subprocess.check_output([sys.executable, "-c", CODE])) for _ in range(5)]
        assert min(times) < 0.010, times
    """,
    )
    result.assert_outcomes(passed=1)


@pytest.mark.slow
def test_assertion_hides_its_own_frames(run: Run) -> None:
    result = run("""
    from gradcheck_health import UnhealthyGradientsError, assert_gradients_healthy

    def test_sick():
        assert_gradients_healthy(Sick())

    def test_report():
        with pytest.raises(UnhealthyGradientsError, match="^missing-gradient in Sick") as caught:
            assert_gradients_healthy(Sick())
        assert [finding.rule for finding in caught.value.report.failures] == ["missing-gradient"]
    """)
    result.assert_outcomes(passed=1, failed=1)
    text = result.stdout.str()
    assert "check.py" not in text
    assert ">       assert_gradients_healthy(Sick())" in text


def test_a_step_is_checked_by_the_fixture(pytester: pytest.Pytester, everything_imported: None) -> None:
    pytester.makepyfile(
        """
        import pytest
        import torch
        from torch import nn

        @pytest.mark.parametrize("clear", [True, False])
        def test_step(gradhealth, clear):
            model = nn.Linear(8, 1)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

            def step(batch):
                if clear:
                    optimizer.zero_grad()
                model(batch).square().mean().backward()
                optimizer.step()

            report = gradhealth.step(step, model, optimizer, batches=[torch.randn(8, 8), torch.randn(8, 8)])
            assert report.ok
        """
    )
    # torch imports its compiler with the first step of an optimizer, which cannot be imported twice in a process
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "default")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*uncleared-gradient*"])


@pytest.mark.slow
def test_a_short_run_is_checked_by_the_fixture(pytester: pytest.Pytester, everything_imported: None) -> None:
    pytester.makepyfile(
        """
        import pytest
        import torch
        from torch import nn

        @pytest.mark.parametrize("lr", [0.01, 1e3])
        def test_run(gradhealth, lr):
            model, x = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1)), torch.randn(32, 8)
            report = gradhealth.trains(model, x, loss=nn.MSELoss(), targets=x[:, :1], optimizer="sgd", lr=lr, steps=20)
            assert report.trace.history.steps == 20
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "default")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*diverging-loss*"])


@pytest.mark.slow
def test_misspelt_keyword_and_the_line_that_asked_are_named(pytester: pytest.Pytester, everything_imported: None) -> None:
    pytester.makepyfile(
        "from torch import nn\n"
        "def test_misspelt(gradhealth): gradhealth(nn.Linear(2, 2), sede=3)\n"
        "def test_sick(gradhealth):\n"
        "    gradhealth(nn.Sequential(*(layer for _ in range(30) for layer in (nn.Linear(4, 4), nn.Sigmoid()))), rounds=1)\n"
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "default")
    text = result.stdout.str()
    assert "the fixture takes no argument 'sede' (did you mean 'seed'?)" in text
    assert "TypeError" not in text
    assert "asked:   test_misspelt_keyword_and_the_line_that_asked_are_named.py:4" in text
