"""From the sampler reading a figure to the browser drawing it, on one machine's clock; beside the
same reading's way to the WebSocket alone.

    python -m bench.latency [--seconds 60] [--json]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from bench.browser import dashboard_open
from bench.figures import percentile, show
from tests.support.stack import Stack, wait_for

TARGETS_MS = {"p50": 30, "p99": 120}

# static/js/dashboard.js writes data-last-drawn on <html> after each frame that it drew.
COLLECT = """() => {
  window.drawn = [];
  new MutationObserver(() => {
    const last = JSON.parse(document.documentElement.dataset.lastDrawn);
    window.drawn.push([last.received_at - last.sampled_at, last.drawn_at - last.sampled_at]);
  }).observe(document.documentElement, { attributes: true, attributeFilter: ['data-last-drawn'] });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    host = os.environ.get("SPARKWEB_TEST_DOCKER_HOST", "unix:///var/run/docker.sock")
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), docker_host=host) as stack:
        stack.wait_online()
        with dashboard_open(stack) as page:
            rows = measure(page, options.seconds)
    show("latency", rows, options.json)


def measure(page: Page, seconds: int) -> list[dict[str, Any]]:
    page.evaluate(COLLECT)
    wait_for(
        lambda: page.evaluate("window.drawn.length") >= seconds,
        f"{seconds} frames",
        seconds * 1.5 + 10,
        every=0.5,
    )
    pairs = page.evaluate("window.drawn")
    received, drawn = ([pair[i] * 1000 for pair in pairs] for i in (0, 1))
    return [
        {"what": "sampler to socket", "p50_ms": percentile(received, 50), "p99_ms": percentile(received, 99)},
        {
            "what": "sampler to drawn",
            "frames": len(drawn),
            "p50_ms": percentile(drawn, 50),
            "p99_ms": percentile(drawn, 99),
            "target_p50_ms": TARGETS_MS["p50"],
            "target_p99_ms": TARGETS_MS["p99"],
            "ratio_to_socket_p50": percentile(drawn, 50) / percentile(received, 50),
        },
    ]


if __name__ == "__main__":
    main()
