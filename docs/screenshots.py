"""Takes the pictures of docs/report.md anew: `python docs/screenshots.py`, with the extra `browser` and the package chromium.

The models are those of examples/, so that the pictures show what a reader gets.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
MAX_BYTES = 150 * 1024
SHOTS = {
    # name: (example, width, theme, from which element on, height)
    "flow": ("sick.py", 1280, "light", "body", 1000),
    "finding": ("sick.py", 1280, "light", "#r0-findings", 900),
    "blocks": ("sick.py", 1280, "dark", "#r0-blocks", 800),
    "parameters": ("sound.py", 1280, "dark", "#r0-parameters", 760),
    "narrow": ("sick.py", 400, "light", "body", 900),
    "narrow-blocks": ("sick.py", 400, "dark", "#r0-blocks", 900),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    with tempfile.TemporaryDirectory() as folder:
        for example in sorted({shot[0] for shot in SHOTS.values()}):
            command = [sys.executable, "-m", "gradcheck_health", "check", f"examples/{example}", "--exit-zero", "-q"]
            page = Path(folder) / f"{example}.html"
            subprocess.run([*command, "-o", str(page)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        for name, (example, width, theme, start, height) in SHOTS.items():
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get((Path(folder) / f"{example}.html").as_uri())
            driver.execute_script(f"document.documentElement.dataset.theme = {theme!r}")
            driver.execute_script(f"document.querySelector({start!r}).scrollIntoView()")
            save(driver.get_screenshot_as_png(), FOLDER / f"{name}.png")
    driver.quit()


def save(png: bytes, path: Path) -> None:
    path.write_bytes(png)
    # flat colours: 64 of them are enough, and a picture stays small
    Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size} bytes; allowed are {MAX_BYTES}")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
