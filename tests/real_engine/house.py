"""SparkWeb with the real engine's models in its catalogue, and two people looking at it."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.e2e.browser import CHROMIUM, FLAGS
from tests.support.stack import PASSWORD, Stack, free_port

# Where pictures go; docs/screenshots is refreshed by naming it here.
SCREENSHOTS = os.environ.get("SPARKWEB_TEST_SCREENSHOTS")
READY_SECONDS = 600.0  # 30 s alone, minutes on a machine that ten others use
# No GPU here, and no right to raise the limit of locked memory; Docker's 64 MB of /dev/shm are too few.
SETTINGS: dict[str, Any] = {
    "gpus": "none",
    "ipc": "private",
    "shm_size": "1g",
    "ulimit_memlock": None,
    "ulimit_stack": None,
    "max_model_len": 512,
}


def catalogue(slug: str, image: str, *, name: str, model: str = "/models/tiny", **settings: Any) -> str:
    """A models.yaml with one definition of the real engine, on a free port; `...` leaves a setting out."""
    merged = {key: value for key, value in (SETTINGS | settings).items() if value is not ...}
    entry = {
        "name": name,
        "description": "SmolLM2 by Hugging Face, served by vLLM on the CPU." if "smollm2" in model else "",
        "engine": "vllm",
        "port": free_port(),
        "model_id": model,
        "image": image,
        "estimated_memory_gb": 3,
        "max_context_length": settings.get("max_model_len", 512),
        "settings": merged,
    }
    return json.dumps({"models": {slug: entry}}, indent=2)


def define(stack: Stack, slug: str, image: str, **settings: Any) -> None:
    """Import one definition by the command."""
    source = stack.folder / f"{slug}.yaml"
    source.write_text(catalogue(slug, image, name=slug.title(), **settings))
    stack.manage("import_models", str(source))


def failed(stack: Stack, slug: str, image: str, **settings: Any) -> dict[str, Any]:
    """Start a definition whose first attempt must fail; its launch."""
    define(stack, slug, image, **settings)
    launch = stack.wait_state(stack.launch_start(slug), "failed", "ready", seconds=READY_SECONDS)
    assert len(launch["attempts"]) == 1
    assert launch["state"] == "failed"
    return launch


def asked(port: int, path: str, **fields: Any) -> Any:
    """The JSON answer of an engine to one POST, by its port, as any OpenAI client would ask."""
    headers = {"Content-Type": "application/json"}
    address = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(address, json.dumps(fields).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def chat(port: int, model: str, question: str) -> str:
    """What a model says to one question."""
    said = [{"role": "user", "content": question}]
    answer = asked(port, "/v1/chat/completions", model=model, max_tokens=24, temperature=0, messages=said)
    return str(answer["choices"][0]["message"]["content"])


def complete(port: int, model: str, begun: str) -> str:
    """How a model goes on with a text."""
    answer = asked(port, "/v1/completions", model=model, max_tokens=8, temperature=0, prompt=begun)
    return str(answer["choices"][0]["text"])


class Eyes:
    """Somebody at a desk, in the light, and the same person on the phone, in the dark."""

    def __init__(self, stack: Stack, desk: BrowserContext, phone: BrowserContext, folder: Path) -> None:
        self.stack = stack
        self.desk = self._login(desk)
        self.phone = self._login(phone)
        self.folder = folder

    def look(self, name: str) -> None:
        """A picture of what the desk sees, and of the same address on the phone."""
        if self.phone.url != self.desk.url:
            self.phone.goto(self.desk.url)
        self.phone.wait_for_load_state("networkidle")
        self.desk.screenshot(path=self.folder / f"{name}.png")
        self.phone.screenshot(path=self.folder / f"{name}-phone.png")
        for page in (self.desk, self.phone):
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"

    def open(self, path: str) -> Page:
        self.desk.goto(self.stack.url + path)
        return self.desk

    def _login(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.goto(self.stack.url + "/login/")
        page.fill("input[name=username]", "admin")
        page.fill("input[name=password]", PASSWORD)
        page.press("input[name=password]", "Enter")
        page.wait_for_url(self.stack.url + "/")
        return page


@contextmanager
def eyes_open(stack: Stack, folder: Path) -> Iterator[Eyes]:
    """Two logged-in browsers; a script error in either fails the test."""
    folder.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        desk = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
        phone = browser.new_context(
            viewport={"width": 390, "height": 844}, color_scheme="dark", reduced_motion="reduce"
        )
        desk.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.url)
        for context in (desk, phone):
            context.on("weberror", lambda error: errors.append(str(error.error)))
        yield Eyes(stack, desk, phone, folder)
        browser.close()
    assert not errors, errors
