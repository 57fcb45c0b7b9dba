"""The HTML report in a real browser, with the network off: it works, it is accessible, and no name ever becomes code."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck_health.formats import html
from gradcheck_health.records.finding import Place, Severity
from gradcheck_health.records.measurements import ActivationTrace, ParameterTrace, TensorStats
from gradcheck_health.records.profile import Level, Profile
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.records.trace import Trace
from tests.formats.test_flow_picture import chain
from tests.formats.test_formats import hostile
from tests.formats.test_html import large
from tests.support.hostile import finding, report

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

webdriver = pytest.importorskip("selenium.webdriver", reason="a browser test: pip install '.[browser]'")
AXE = pytest.importorskip("axe_core_python", reason="a browser test: pip install '.[browser]'")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs the packages chromium and chromium-driver"),
]
ATTACKS = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "\"><svg onload='window.hacked = 1'>",
    "javascript:window.hacked=1",
    "' onmouseover='window.hacked = 1",
    "{{ 7 * 7 }}{% raw %}",
    "</title><base href='https://example.com/'>",
)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    options = webdriver.ChromeOptions()
    # --no-sandbox: CI runs as root; the pages are our own
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", off)
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """One report in the browser."""

    def __init__(self, chrome: Chrome, path: Path) -> None:
        self.chrome, self.path = chrome, path

    def open(self, text: str, fragment: str = "", width: int = 1280) -> Page:
        self.path.write_text(text, encoding="utf-8")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.chrome.get("about:blank")
        self.chrome.get_log("browser")
        self.chrome.get(self.path.as_uri() + fragment)
        return self

    def js(self, code: str, *arguments: Any) -> Any:
        return self.chrome.execute_script(f"return {code}", *arguments)

    def all(self, selector: str) -> list[Any]:
        return list(self.chrome.find_elements("css selector", selector))

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.chrome).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.chrome.get_log("browser")]

    def names(self) -> list[str]:
        """Of the parameters that are shown, from the top."""
        cells = "[...document.querySelectorAll('.params tbody.rows tr:not([hidden]) th')]"
        return list(
            self.js(f"{cells}.filter(cell => cell.offsetParent).map(cell => cell.firstChild.textContent + cell.textContent)")
        )

    def status(self, text: str) -> bool:
        """Whether the line beside the search comes to say so: it waits for the end of typing."""
        deadline = time.time() + 10
        while self.all(".tools .shown")[0].text != text and time.time() < deadline:
            time.sleep(0.02)
        return bool(self.all(".tools .shown")[0].text == text)

    def violations(self) -> list[str]:
        """What axe-core objects to."""
        script = (Path(AXE.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
        self.chrome.execute_script(script)
        found = self.chrome.execute_async_script(
            "const done = arguments[0]; axe.run().then(found => done(found.violations), error => done([{id: String(error)}]))"
        )
        return [f"{one['id']}: {node['html'][:150]}" for one in found for node in one.get("nodes", [{"html": ""}])]


@pytest.fixture
def page(chrome: Chrome, tmp_path: Path) -> Page:
    return Page(chrome, tmp_path / "report.html")


def sick() -> Report:
    """Everything that a page can show: two findings, an accepted one, seeds, limits, a baseline, dead units, odd gradients."""
    base = chain({f"encoder.{i}": 10.0 ** (i - 8) for i in range(8)} | {"head": 1.0})
    seen = base.trace
    parameters = {}
    for i, name in enumerate(seen.layers):
        if "." not in name and name != "head":
            continue
        for role, shape in (("weight", (8, 8)), ("bias", (8,))):
            size = 10.0 ** (i - 9)
            gradient = TensorStats(8, size, 2 * size)
            decades = ((i - 10, 20), (i - 9, 40), (i - 8, 4))
            key = f"{name}.{role}"
            value = TensorStats(64, 0.1 * (i + 1), 1.0)
            parameters[key] = ParameterTrace(
                key, name, "Linear", shape, "float32", True, value, gradient, i, decades=decades, zeros=3
            )
    zeros = TensorStats(8, 0.0, 0.0)
    changes: dict[str, dict[str, Any]] = {
        "encoder.0.bias": {"gradient": None},
        "encoder.1.bias": {"gradient": zeros, "zeros": 8, "decades": ()},
        "encoder.2.bias": {"trainable": False, "gradient": None, "decades": ()},
        "encoder.3.bias": {"gradient": TensorStats(8, 0.1, 0.1, nan=1)},
    }
    parameters = {name: dataclasses.replace(p, **changes.get(name, {})) for name, p in parameters.items()}
    other = chain({f"encoder.{i}": 10.0 ** (i - 9) for i in range(8)} | {"head": 1.0}).trace
    profile = Profile(tuple(Level(f"encoder.{i}", "Linear", -0.1 * i) for i in range(8)), {})
    whole: Trace = dataclasses.replace(
        seen,
        parameters=parameters,
        activations=(ActivationTrace("encoder.3", "relu", 3, 8, 64, off=6),),
        facts={"reseeded": (other,)},
        reference=profile,
        gaps=("the inside of the custom autograd.Function Odd",),
    )
    places = (Place("encoder.3", "Linear", f"{Path(__file__)}:20"), Place("encoder.5", "Linear"))
    found = finding(places=places, details=(("because", "sigmoid keeps 0.25"), ("help", "use ReLU")), got=1e-8, bound=8e-5)
    lost = finding(rule="missing-gradient", severity=Severity.WARNING, places=(Place("encoder.0.bias", "Linear"),))
    accepted = finding(rule="dead-unit", suppressed="ReLU at initialisation")
    return report(found, lost, accepted, trace=whole, limits={"vanishing-gradient": 8e-5}, environment={"torch": "2.13.0"})


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_inaccessible_and_nothing_complains(page: Page, theme: str, width: int) -> None:
    """Contrast of 4.5:1, names of controls, headings, labels, scrollable regions: the rules of axe-core."""
    page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    page.open(html.render_run([sick(), report()], [Failure("b.py", "no model:\n  b.py:1", 3)], 3), width=width)
    page.js("document.querySelectorAll('details').forEach(entry => { entry.open = true })")
    assert page.violations() == []
    assert page.complaints() == []
    assert page.js("document.documentElement.scrollWidth") <= width, "the page itself never scrolls sideways"


def test_axe_sees_what_is_wrong(page: Page) -> None:
    page.open(html.render(sick()).replace("--muted: #57606a", "--muted: #c0c8d0").replace('<html lang="en">', "<html>"))
    found = " ".join(page.violations())
    assert "html-has-lang" in found


@pytest.mark.parametrize("name", ATTACKS)
def test_names_stay_text(page: Page, name: str) -> None:
    page.open(html.render_run([hostile(name), sick()], [Failure(name, name, 3)], 3))
    assert page.js("window.hacked") is None
    assert page.complaints() == []
    assert page.js("document.body.innerText.includes(arguments[0])", name)
    assert page.all("base, main img, main svg[onload], main [onmouseover], main script") == []


def test_what_gets_in_all_the_same_is_stopped_by_the_policy(page: Page) -> None:
    """Not by escaping alone: an element that somebody smuggled into the file does not run, and its style does nothing."""
    smuggled = "<script>window.hacked = 1</script><p id=x style='color: red'>x</p><img src='https://example.com/x.png'>"
    page.open(html.render(sick()).replace("<footer>", smuggled + "<footer>"))
    assert page.js("window.hacked") is None
    assert page.js("getComputedStyle(document.getElementById('x')).color") != "rgb(255, 0, 0)"
    assert len([line for line in page.complaints() if "Content Security Policy" in line]) >= 3


def test_search_filter_and_the_address(page: Page) -> None:
    page.open(html.render(sick()))
    assert len(page.names()) == 18
    (box,) = page.all(".tools .q")
    box.send_keys("encoder.3 WEIGHT")
    assert page.status("1 of 18 parameters")
    assert [name.split()[0] for name in page.names()] == ["encoder.encoder.3.weight"]
    assert page.js("location.hash") == "#q=encoder.3+WEIGHT"
    page.all(".tools .show option[value=none]")[0].click()
    assert page.names() == []
    page.open(html.render(sick()), "#show=none")
    assert len(page.names()) == 1
    for wanted, count in (("sick", 5), ("zero", 1), ("frozen", 1)):
        page.open(html.render(sick()), f"#show={wanted}")
        assert len(page.names()) == count, wanted


def test_sort_by_every_column(page: Page) -> None:
    page.open(html.render(sick()))
    original = page.names()
    button = page.all("th[data-sort=gradient] button")[0]
    button.click()
    assert page.js("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    assert "encoder.3.bias" in page.names()[0], "NaN is the largest of all"
    assert "head" in page.names()[1]
    page.all("th[data-sort=gradient] button")[0].click()
    assert page.js("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "ascending"
    assert {name.split()[0].removeprefix("encoder.") for name in page.names()[:2]} == {"encoder.0.bias", "encoder.2.bias"}
    page.all("th[data-sort=gradient] button")[0].click()
    assert page.names() == original
    for key in ("name", "largest", "zeros", "value", "size", "state"):
        page.open(html.render(sick()), f"#sort={key}&dir=down")
        assert sorted(page.names()) == sorted(original) and page.names() != original, key


def test_a_link_into_the_report_opens_what_is_folded(page: Page) -> None:
    page.open(html.render(large(1200)), "#r0-parameters")
    assert page.names() == []
    page.all(".fold")[0].click()
    assert len(page.names()) == 6
    assert page.all(".fold")[0].get_attribute("aria-expanded") == "true"
    page.all(".fold")[0].click()
    page.all(".tools .q")[0].send_keys("layers")
    assert page.status("1200 of 1200 parameters") and page.names() == [], "so many are not unfolded"
    page.all(".tools .q")[0].send_keys(".150.part3")
    assert page.status("1 of 1200 parameters") and len(page.names()) == 1
    page.open(html.render(sick()), "#r0-f2")
    top = page.js("document.getElementById('r0-f2').getBoundingClientRect().top")
    assert 0 <= top < 900


def test_a_keyboard_reaches_everything(page: Page) -> None:
    page.open(html.render(sick()))
    focusable = "a[href], button, input, select, summary, [tabindex='0']"
    wanted = page.js(
        "[...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).length",
        focusable,
    )
    reached = set()
    for _ in range(wanted + 5):
        page.press("\ue004")
        reached.add(page.js("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert page.js(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none' || document.activeElement === document.body"
        )
    reached.discard(page.js("[...document.querySelectorAll('*')].indexOf(document.body)"))
    assert len(reached) >= wanted > 30
    page.js("document.activeElement.blur()")
    page.press("/")
    assert page.js("document.activeElement.className") == "q"


def test_the_chart_is_read_with_the_arrow_keys(page: Page) -> None:
    page.open(html.render(sick()))
    page.js("document.querySelector('.chart').focus()")
    page.press("\ue010")  # End
    last = page.all(".readout")[0].text
    page.press("\ue012")  # Left
    before = page.all(".readout")[0].text
    assert last.startswith("head, Addmm: gradient 1,") and before.startswith("encoder.7, Addmm: gradient 0.1,")
    page.press("\ue011")  # Home
    assert page.all(".readout")[0].text.startswith("encoder.0, Addmm: gradient 1e-08")


def test_theme_goes_round_and_stays(page: Page) -> None:
    page.chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    )
    page.open(html.render(sick()))
    colours = []
    for _ in range(3):
        colours.append(page.js("getComputedStyle(document.body).backgroundColor"))
        page.all("#theme")[0].click()
    assert colours == ["rgb(255, 255, 255)", "rgb(255, 255, 255)", "rgb(15, 20, 25)"]
    page.all("#theme")[0].click()
    page.open(html.render(sick()))
    assert page.all("#theme")[0].text == "Theme: light"
    page.js("localStorage.clear()")


def test_the_run_can_be_saved(page: Page, tmp_path: Path) -> None:
    made = report(finding())
    page.open(html.render(made))
    page.chrome.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.all("#download")[0].click()
    saved, deadline = tmp_path / "gradhealth.json", time.time() + 10
    while not saved.exists() and time.time() < deadline:
        time.sleep(0.05)
    assert Report.from_dict(json.loads(saved.read_text())["reports"][0]) == made


def test_without_script_everything_can_be_read(page: Page) -> None:
    page.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(html.render(sick()))
        page.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        assert len(page.names()) == 18
        assert page.all("#theme")[0].is_displayed() is False
        assert "vanishing-gradient" in page.all("main")[0].text
    finally:
        page.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_paper_shows_what_a_screen_folds(page: Page) -> None:
    page.open(html.render(sick()))
    page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        page.js("dispatchEvent(new Event('beforeprint'))")
        assert page.js("[...document.querySelectorAll('details')].every(entry => entry.open)")
        heights = page.js("(box => [box.scrollHeight, box.clientHeight])(document.querySelector('.scroll.tall'))")
        assert heights[0] <= heights[1] + 1, "a table on paper cannot be scrolled"
        assert page.all("#theme")[0].is_displayed() is False
    finally:
        page.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
