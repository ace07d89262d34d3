"""The definition form in Chromium: another engine brings its settings without losing what was typed."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from metrics_app.models import Node
from models_app.models import ModelDefinition
from sparkweb.accounts.models import User
from tests.e2e.conftest import Opened

pytestmark = pytest.mark.browser


def test_choosing_an_engine_shows_its_settings_and_its_line(
    house: Node, page_admin: User, open_page: Opened
) -> None:
    page, _ = open_page("/models/new/", page_admin)
    for label, text in (("Name", "Qwen"), ("Served as", "qwen-new"), ("Model", "qwen3:4b"), ("Port", "8999")):
        page.get_by_label(label, exact=True).fill(text)
    page.locator("[name=set_gpus]").select_option("none")
    page.get_by_label("Engine").select_option("ollama")
    expect(page.locator("[name=set_keep_alive]")).to_be_visible()
    expect(page.locator("[name=set_max_model_len]")).to_have_count(0)
    expect(page.locator("[name=set_gpus]")).to_have_value("none")
    page.locator("[name=set_keep_alive]").fill("24h")
    expect(page.locator("#preview")).to_contain_text("OLLAMA_KEEP_ALIVE=24h")
    page.get_by_label("Engine").select_option("vllm")
    expect(page.locator("[name=other_settings]")).to_have_value('{\n  "keep_alive": "24h"\n}')
    page.get_by_label("Engine").select_option("ollama")
    expect(page.locator("[name=set_keep_alive]")).to_have_value("24h")
    page.get_by_role("button", name="Define").click()
    page.wait_for_url("**/models/qwen-new/")
    row = ModelDefinition.objects.get(slug="qwen-new")
    assert (row.engine, row.settings) == ("ollama", {"gpus": "none", "keep_alive": "24h"})
