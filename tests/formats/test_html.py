"""The HTML report as a document: what is in it, how large it is, and that names stay text. `test_browser.py` looks at it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from gradcheck_health import cli
from gradcheck_health.formats import html
from gradcheck_health.formats import json as json_format
from gradcheck_health.formats._page.chart import chart
from gradcheck_health.formats._page.excerpts import excerpt
from gradcheck_health.formats._page.payload import pack, slim, unpack
from gradcheck_health.formats._page.visible import percent
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.finding import Place
from gradcheck_health.records.measurements import CutPoint, LayerTrace, ParameterTrace, TensorStats
from gradcheck_health.records.profile import Level, Profile
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.trace import Trace
from tests.formats.test_flow_picture import chain
from tests.formats.test_formats import hostile
from tests.support.hostile import HOSTILE, WHOLE, finding, report, trace, values

KIB = 1024


class Elements(HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles: an independent reader."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.text += data if not self.inside else ""

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def large(count: int, looks: int = 0) -> Report:
    """A report on so many parameters, with irrational numbers, as measured ones are; and further looks at the model."""

    def seen(shift: int) -> Trace:
        parameters, layers, flow = {}, {}, []
        for i in range(count):
            name = f"encoder.layers.{i // 6}.part{i % 6}"
            first, second = (TensorStats(4096, math.sqrt(2 + i + shift) * 1e-3, math.sqrt(3 + i + shift)) for _ in range(2))
            spread = ((-7, 3 + i % 50), (-6, 40), (-5, 100), (-4, 90), (-3, 20 - i % 19))
            parameters[f"{name}.weight"] = ParameterTrace(
                f"{name}.weight", name, "Linear", (64, 64), "float32", True, first, second, i, decades=spread
            )
            layers[name] = LayerTrace(name, "Linear", i, 1, second, first)
            flow.append(CutPoint(name, "Addmm", math.sqrt(i + 1 + shift), math.sqrt(i + 2)))
        return trace(layers=layers, parameters=parameters, flow=tuple(flow))

    facts = {"detailed": (seen(1),), "after_steps": tuple(seen(i) for i in range(2, looks + 1))} if looks else {}
    return report(finding(), trace=dataclasses.replace(seen(0), facts=facts))


# ---- one file that needs nothing else


@pytest.mark.parametrize("name", [name for name in HOSTILE if name], ids=ascii)
def test_no_name_becomes_an_element(name: str) -> None:
    """A report with the name everywhere has the very tags of one with a harmless name."""
    attacked, plain = Elements(html.render(hostile(name))), Elements(html.render(hostile("harmless")))
    assert [tag for tag, _ in attacked.tags if tag != "wbr"] == [tag for tag, _ in plain.tags if tag != "wbr"]
    assert not [key for _, attributes in attacked.tags for key in attributes if key.startswith("on")]


def test_nothing_is_fetched_and_only_the_own_script_may_run() -> None:
    text = html.render(report(finding()))
    page = Elements(text)
    assert not [a for _, a in page.tags if a.get("src") or (a.get("href") or "#")[0] != "#" or a.get("style")]
    (policy,) = [a["content"] or "" for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    allowed = set(re.findall(r"'(sha256-[^']+)'", policy))
    scripts = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", text, re.DOTALL)
    assert allowed == {f"sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}" for body in scripts}
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_every_link_and_label_has_an_aim_and_every_aim_is_there_once() -> None:
    sick = chain({"encoder.3": 1e-6, "head": 1.0}).trace
    stats = TensorStats(1, 1.0, 1.0)
    own = {
        "encoder.3.weight": ParameterTrace("encoder.3.weight", "encoder.3", "Sigmoid", (1,), "float32", True, stats, None, 0)
    }
    found = report(finding(), trace=dataclasses.replace(sick, parameters=own))
    page = Elements(html.render_run([found, found], [], 1))
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(set(ids)) == len(ids)
    aims = [(a.get("href") or "").removeprefix("#") for a in page.all("a")]
    aims += [a["aria-labelledby"] or "" for _, a in page.tags if "aria-labelledby" in a]
    assert "r1-f1" in aims and "r0-p0" in aims
    assert set(aims) <= set(ids)


@pytest.mark.slow
@given(values(Report))
@settings(WHOLE, max_examples=40)
def test_any_report_becomes_a_page_that_holds_it(made: Report) -> None:
    text = html.render(made)
    text.encode("utf-8")
    assert Report.from_json(json_of(text)).to_json() == Report.from_json(json_of(html.render(made))).to_json()
    assert html.fragment(made).startswith("<div")


def json_of(page: str) -> str:
    return json.dumps(json.loads(unpack(page))["reports"][0])


# ---- the run inside


def test_small_runs_are_kept_to_the_last_digit() -> None:
    runs = [report(finding(got=math.pi * 1e-9)), report()], [Failure("b.py", "no </script> model", 3)], 3
    assert unpack(html.render_run(*runs)) == json.dumps(json_format.document(*runs), separators=(",", ":"))


@pytest.mark.slow
def test_large_runs_are_kept_as_float32_would() -> None:
    made = large(600, looks=10)
    kept = Report.from_json(json_of(html.render(made)))
    for name, p in made.trace.parameters.items():
        assert kept.trace.parameters[name].value.rms == pytest.approx(p.value.rms, rel=5e-7)
    assert kept.findings[0] == made.findings[0]


@pytest.mark.parametrize(
    ("count", "looks", "most"),
    [(60, 0, 200), (60, 12, 200), (600, 0, 1024), (600, 12, 1024), pytest.param(10_000, 2, 5 * 1024, marks=pytest.mark.slow)],
)
def test_size(count: int, looks: int, most: int) -> None:
    assert len(html.render(large(count, looks)).encode()) <= most * KIB


@pytest.mark.slow
def test_what_a_very_large_page_leaves_out_is_reported() -> None:
    kept = slim(large(2_000, looks=3)).trace
    assert [len(one.parameters) for one in kept.facts["after_steps"]] == [0, 0]
    assert len(kept.closest.parameters) == 2_000, "the look that knows the source lines stays"
    assert "left out of this page" in kept.gaps[-1]
    assert slim(large(600, looks=6)).trace.gaps == ()


@pytest.mark.parametrize("cut", [0, 20, -1])
def test_a_damaged_page_is_reported(cut: int) -> None:
    packed = pack({"a": 1})
    broken = f'<script type="application/gzip" id="run-json">{packed[:cut] if cut else "AAAA"}</script>'
    with pytest.raises(ValueError, match="the run in the page is damaged"):
        unpack(broken)
    with pytest.raises(ValueError, match="holds no run"):
        unpack("<html></html>")


# ---- the chart


def test_the_curve_falls_by_the_same_height_for_every_decade() -> None:
    found = chart(chain({"a": 1e-6, "b": 1e-4, "c": 1e-2, "d": 1.0}))
    assert found is not None
    heights = [float(y) for y in re.findall(r"[ML]\S+ (\S+?)(?=[ML]|$)", found.gradient.path)]
    steps = [before - after for before, after in zip(heights, heights[1:], strict=False)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2) and steps[0] > 100
    assert [point.keeps for point in found.points] == pytest.approx([1e-2, 1e-2, 1e-2, None])


def test_a_zero_leaves_the_curve_and_is_marked() -> None:
    found = chart(chain({"a": 1.0, "b": 0.0, "c": 1.0, "d": 1.0}))
    assert found is not None
    assert found.gradient.path.count("M") == 2 and found.gradient.lost.count("M") == 1


def test_a_peak_among_ten_thousand_points_is_drawn() -> None:
    flow = tuple(CutPoint(f"l{i}", "Addmm", 1e-9 if i == 4321 else 1.0) for i in range(10_000))
    found = chart(report(trace=trace(flow=flow)))
    assert found is not None
    heights = [float(y) for y in re.findall(r"[ML]\S+ (\S+?)(?=[ML]|$)", found.gradient.path)]
    assert len(heights) < 1300 and max(heights) == 960.0


def test_limits_seeds_and_baseline_are_drawn() -> None:
    base = chain({"a": 1e-2, "b": 1e-1, "c": 1.0}).trace
    other = chain({"a": 1e-4, "b": 1e-1, "c": 1.0}).trace
    levels = tuple(Level(name, "Linear", decades) for name, decades in (("a", -1.0), ("b", None), ("c", 0.0)))
    whole = dataclasses.replace(base, facts={"reseeded": (other,)}, reference=Profile(levels, {}))
    found = chart(report(trace=whole, limits={"vanishing-gradient": 1e-3}))
    assert found is not None
    # the axis holds the limit and the other seed, though the run itself never comes near
    assert float(found.limits[0].at) < 960 and found.seeds == 2
    low = max(float(y) for y in re.findall(r" (\d[\d.]*)", found.band))
    assert low == 960.0
    assert found.ghost.count("M") == 1 and found.ghost.count("L") == 1


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.001, "<1 %"), (0.19, "19 %"), (0.999, ">99 %"), (1.0, "100 %"), (None, "\u2013")]
)
def test_a_share_is_all_or_nothing_only_where_it_is(share: float | None, text: str) -> None:
    assert percent(share) == text


# ---- source


@pytest.mark.parametrize(
    ("place", "under"),
    [
        (Place("act", "Sigmoid", "net.py:2"), "nn.Sigmoid"),
        (Place("act", "Unknown", "net.py:2"), "self.act"),
        (Place("x", "Unknown", "net.py:2"), "self.act = nn.Sigmoid()"),
    ],
)
def test_carets_stand_under_what_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Place, under: str) -> None:
    (tmp_path / "net.py").write_text("class Net:\n    self.act = nn.Sigmoid()  # act\n")
    monkeypatch.chdir(tmp_path)
    found = excerpt(dataclasses.replace(place, source=str(tmp_path / "net.py") + ":2"))
    assert found is not None
    (line,) = [line for line in found.lines if line.carets]
    start = line.carets.index("^")
    assert line.text[start : start + line.carets.count("^")] == under


@pytest.mark.parametrize("source", ["secret.txt:1", "gone.py:1", "net.py:99", "net.py:x", "net.py", ":1", "", "folder.py:1"])
def test_no_excerpt_where_there_is_no_such_line_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (tmp_path / "secret.txt").write_text("secret\n")
    (tmp_path / "net.py").write_text("pass\n")
    (tmp_path / "folder.py").mkdir()
    monkeypatch.chdir(tmp_path)
    assert excerpt(Place("a", source=source)) is None


# ---- the command that reads reports back


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)

    def run_in_process(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(arguments)
        done = capsys.readouterr()
        return int(left.value.code or 0), done.out, done.err

    return run_in_process


def test_a_page_is_read_back_and_written_in_another_format(run: Any, tmp_path: Path) -> None:
    made = report(finding())
    (tmp_path / "a.html").write_text(html.render_run([made], [Failure("b.py", "no model", 3)], 3), encoding="utf-8")
    code, _, err = run("report", "a.html", "-o", "b.json", "-o", "c.html")
    assert (code, err) == (0, "")
    assert (tmp_path / "b.json").read_text() == json_format.render_run([made], [Failure("b.py", "no model", 3)], 3)
    assert (tmp_path / "c.html").read_text() == (tmp_path / "a.html").read_text()


def test_several_files_become_one_page_and_without_output_the_terminal_text(run: Any, tmp_path: Path) -> None:
    for name, model in (("a.json", "First"), ("b.json", "Second")):
        (tmp_path / name).write_text(report(finding(), model=model, target=None).to_json())
    assert run("report", "a.json", "b.json", "-o", "both.html")[0] == 0
    assert re.search(r"2 models: 0\s+healthy, 2 unhealthy", (tmp_path / "both.html").read_text())
    code, out, _ = run("report", "a.json", "b.json")
    assert code == 0 and "vanishing-gradient in First" in out and "vanishing-gradient in Second" in out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "allowed: what"),
        ("[]", "holds a list"),
        ("{}", "schema"),
        ("<html>", "holds no run"),
        ('{"reports": 1}', "a.json"),
        ('{"reports": [{"schema": 99}]}', "schema 99"),
        ("\udcff", "is no text"),
    ],
)
def test_what_is_no_report_is_reported_with_the_file(run: Any, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    code, out, err = run("report", "a.json")
    assert (code, out) == (2, "") and words in err and "a.json" in err
    assert "Traceback" not in err


# ---- notebooks and papers


def test_a_notebook_shows_the_verdict_and_the_flow_without_script() -> None:
    made = report(finding(message="<b>bold</b>"), trace=chain({"a": 1e-5, "b": 1.0}).trace)
    page = Elements(made._repr_html_())
    assert {"script", "style", "b"} & {tag for tag, _ in page.tags} == {"b"}
    assert "<b>bold</b>" in page.text and "shrinks to 1e-05" in page.text
    assert len([a for a in page.all("path") if a.get("stroke-width") == "2"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_plot_is_written_and_holds_the_flow(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    base, other = chain({"a": 1e-2, "$b$": 0.0, "c": 1.0}).trace, chain({"a": 1e-4, "$b$": 1e-1, "c": 1.0}).trace
    levels = (Level("a", "Linear", -1.0), Level("c", "Linear", 0.0))
    whole = dataclasses.replace(base, facts={"reseeded": (other,)}, reference=Profile(levels, {}))
    figure = report(trace=whole, limits={"vanishing-gradient": 1e-3}).plot(tmp_path / f"flow.{suffix}")
    above, _ = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in above.lines}
    assert lines["gradient"][0] == 1e-2 and math.isnan(lines["gradient"][1]) and lines["gradient"][2] == 1.0
    assert list(lines["baseline"]) == [0.1, 1.0]
    assert list(lines["limit of vanishing-gradient"]) == [1e-3, 1e-3]
    assert len(lines["zero or not finite"]) == 1
    start = (tmp_path / f"flow.{suffix}").read_bytes()[:8]
    assert start == {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml ve"}[suffix]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_plot_of_hostile_names(name: str) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    made = report(trace=chain({f"a{name}": 1e-2, "b": 1.0}).trace, model=name, target=name, limits={name: 1e-3})
    made.plot().canvas.draw()


def test_what_cannot_be_plotted_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    with pytest.raises(UsageError, match=r"no flow to plot: 0 points"):
        report(trace=trace(flow=())).plot()
    with pytest.raises(UsageError, match=r"'\.docx'; known are .*\.svg"):
        report().plot(tmp_path / "flow.docx")


def test_without_matplotlib_the_command_that_installs_it_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'gradcheck-health\[plot\]'"):
        report().plot()


def test_an_edited_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "net.py"
    for i, text in enumerate(("before = Sigmoid()", "after = Sigmoid()")):
        source.write_text(text)
        os.utime(source, (i, i))
        found = excerpt(Place("act", "Sigmoid", f"{source}:1"))
        assert found is not None and found.lines[0].text == text
