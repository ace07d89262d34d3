"""A day's charts in Chromium while they are zoomed and moved: frames a second, and frames left out.

    python -m bench.history_frames [--seconds 5] [--json]

A real web process with a day of history; the mouse drags over a chart, to choose a span and then, with
Shift, to move it. A frame is counted by requestAnimationFrame. The floor is the same page while nobody
touches it. Without a GPU Chromium draws on the CPU, of which SparkWeb's servers have their share.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from playwright.sync_api import Page, sync_playwright

from bench.figures import percentile, show
from tests.e2e.browser import CHROMIUM, FLAGS, until
from tests.support.web import WebProcess

TARGET_FPS = 60
FRAME_MS = 1000 / 60
MOVE_SECONDS = 0.008
FILL = """
import time
import django
django.setup()
from django.conf import settings
from tests.support.history_data import history_seed
history_seed("spark-1", now=time.time(), seconds=86400, tiers=settings.HISTORY_TIERS[1:3])
"""
RECORD = """() => {
  window.frames_at = [];
  const tick = (now) => { window.frames_at.push(now); window.ticking = requestAnimationFrame(tick); };
  cancelAnimationFrame(window.ticking ?? 0);
  window.ticking = requestAnimationFrame(tick);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    web = WebProcess().start()
    try:
        subprocess.run([sys.executable, "-c", FILL], env=web.environment, check=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            rows = measure(_page(browser, web), options.seconds)
            browser.close()
    finally:
        web.close()
    show(f"A day's charts, {options.seconds:g} s each", rows, options.json)


def _page(browser: Any, web: WebProcess) -> Page:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    pairs = [pair.split("=", 1) for pair in web.login().split("; ")]
    context.add_cookies([
        {"name": name, "value": value, "url": f"http://{web.host}"} for name, value in pairs
    ])  # fmt: skip
    page: Page = context.new_page()
    page.goto(f"http://{web.host}/nodes/spark-1/history/?range=86400")
    until(page, "Boolean(document.documentElement.dataset.historySettled)", 60)
    return page


def measure(page: Page, seconds: float) -> list[dict[str, Any]]:
    box = page.locator(".u-over").first.bounding_box()
    assert box
    charts = page.locator(".history-panel").count()
    points = int(page.locator(".history-panel").first.get_attribute("data-points") or 0)
    rows = [
        _row("untouched", page, lambda: time.sleep(seconds)),
        _row("zooming", page, lambda: _zoom(page, box, seconds)),
        _row("moving", page, lambda: _pan(page, box, seconds)),
    ]
    for row in rows:
        row |= {
            "target": TARGET_FPS, "ratio": row["frames/s"] / rows[0]["frames/s"],
            "charts": charts, "points": points,
        }  # fmt: skip
    return rows


def _row(what: str, page: Page, act: Callable[[], None]) -> dict[str, Any]:
    page.evaluate(RECORD)
    act()
    moments = page.evaluate("window.frames_at")
    gaps = [after - before for before, after in pairwise(moments)]
    return {
        "what": what,
        "frames/s": 1000 * len(gaps) / (moments[-1] - moments[0]),
        "left out": sum(max(0, round(gap / FRAME_MS) - 1) for gap in gaps),
        "of": round((moments[-1] - moments[0]) / FRAME_MS),
        "gap p99_ms": percentile(gaps, 99),
    }


def _zoom(page: Page, box: Any, seconds: float) -> None:
    """Drag over the chart and let go, each second: the span that was chosen is shown."""
    until_ = time.monotonic() + seconds
    while time.monotonic() < until_:
        _drag(page, box, 0.1, 0.9, min(1.0, seconds))


def _pan(page: Page, box: Any, seconds: float) -> None:
    page.keyboard.down("Shift")
    until_ = time.monotonic() + seconds
    forth = False
    while time.monotonic() < until_:
        forth = not forth
        _drag(page, box, *((0.3, 0.7) if forth else (0.7, 0.3)), min(1.0, seconds))
    page.keyboard.up("Shift")


def _drag(page: Page, box: Any, start: float, end: float, seconds: float) -> None:
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    began = time.monotonic()
    while (share := (time.monotonic() - began) / seconds) < 1:
        page.mouse.move(box["x"] + box["width"] * (start + (end - start) * share), y)
        time.sleep(MOVE_SECONDS)
    page.mouse.up()


if __name__ == "__main__":
    main()
