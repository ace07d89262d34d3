"""Whether a day's chart zooms and moves as fast as the screen: times between animation frames in Chromium.

    python -m bench.history_frames [--seconds 10] [--json]

A real web process with a day of history, its page in a headless Chromium at 1440 x 900, and input through
the browser's own devices protocol: the wheel with Ctrl zooms in and out about the pointer, a drag with
Shift moves. The floor is an empty page of the same browser that animates nothing under the same input.
A screen of 60 Hz leaves 16.7 ms; a frame that took more than 25 ms has missed one.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import CDPSession, Page, sync_playwright

from bench.figures import percentile, show
from tests.e2e.browser import CHROMIUM, FLAGS, until
from tests.support.web import ROOT, WebProcess

NODE = "spark-1"
TARGET_FRAMES = 60
MISSED_MS = 25.0
CTRL, SHIFT = 2, 8  # modifiers of Input.dispatchMouseEvent
STEPS = 40  # movements one way, before they go back
SEED = f"""
import time
import django
django.setup()
from tests.support.history_data import history_seed
history_seed({NODE!r}, now=time.time(), seconds=2 * 86_400)
"""
RECORD = """() => {
  window.moments = [];
  const frame = (at) => { window.moments.push(at); window.recording = requestAnimationFrame(frame); };
  window.recording = requestAnimationFrame(frame);
}"""
STOP = "() => { cancelAnimationFrame(window.recording); return window.moments; }"
Act = Callable[[CDPSession, float, float, int], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    web = WebProcess().start()
    try:
        web.manage("create_node", NODE)
        subprocess.run([sys.executable, "-c", SEED], cwd=ROOT, env=web.environment, check=True)
        rows = measure(web, options.seconds)
    finally:
        web.close()
    show(f"Animation frames over a day's charts, {options.seconds:g} s each", rows, options.json)


def measure(web: WebProcess, seconds: float) -> list[dict[str, Any]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        pairs = (pair.split("=", 1) for pair in web.login().split("; "))
        address = f"http://{web.host}"
        context.add_cookies([{"name": name, "value": value, "url": address} for name, value in pairs])
        empty = context.new_page()
        empty.goto("about:blank")
        rows = [_run(empty, "empty page", zoom, (700, 450), seconds)]
        empty.close()
        page = context.new_page()
        page.goto(f"{address}/nodes/{NODE}/history/?range=86400")
        until(page, "Boolean(document.documentElement.dataset.historySettled)")
        rows += [
            _run(page, name, act, _middle(page), seconds) for name, act in (("zoom", zoom), ("move", move))
        ]
        charts = page.locator(".history-panel").count()
        points = page.locator(".history-panel").first.get_attribute("data-points")
        browser.close()
    for row in rows:
        row["p95, times floor"] = row["p95_ms"] / rows[0]["p95_ms"]
    rows[1] |= {"charts": charts, "points": points}
    return rows


def _middle(page: Page) -> tuple[float, float]:
    box = page.locator(".history-panel .u-over").first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def _run(page: Page, what: str, act: Act, at: tuple[float, float], seconds: float) -> dict[str, Any]:
    """Do `act` again and again while frames are counted."""
    session = page.context.new_cdp_session(page)
    page.mouse.move(*at)
    page.evaluate(RECORD)
    until_at, number = time.monotonic() + seconds, 0
    while time.monotonic() < until_at:
        act(session, *at, number)
        number += 1
    moments = page.evaluate(STOP)
    session.send("Input.dispatchMouseEvent", _mouse("mouseReleased", *at, SHIFT, button="left"))
    session.detach()
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    return {
        "what": what,
        "frames a second": 1000 * len(gaps) / sum(gaps),
        "target": TARGET_FRAMES,
        "p50_ms": percentile(gaps, 50),
        "p95_ms": percentile(gaps, 95),
        "p99_ms": percentile(gaps, 99),
        "missed %": 100 * sum(gap > MISSED_MS for gap in gaps) / len(gaps),
        "movements": number,
    }


def zoom(session: CDPSession, x: float, y: float, number: int) -> None:
    """One notch of a fine wheel: in for a while, then out again."""
    by = -8 if number // STEPS % 2 == 0 else 8
    session.send("Input.dispatchMouseEvent", _mouse("mouseWheel", x, y, CTRL, deltaX=0, deltaY=by))


def move(session: CDPSession, x: float, y: float, number: int) -> None:
    """One step of a drag: a press first, then to and fro."""
    if number == 0:
        session.send("Input.dispatchMouseEvent", _mouse("mousePressed", x, y, SHIFT, button="left"))
    step = number % (2 * STEPS)
    offset = 4 * (step if step < STEPS else 2 * STEPS - step)
    session.send("Input.dispatchMouseEvent", _mouse("mouseMoved", x + offset, y, SHIFT, button="left"))


def _mouse(kind: str, x: float, y: float, modifiers: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "x": x, "y": y, "modifiers": modifiers, **more}


if __name__ == "__main__":
    main()
