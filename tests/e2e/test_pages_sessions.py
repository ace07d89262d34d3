"""Sessions in Chromium, at a desk and on a phone: begun, files up and down, ended; a played node."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from metrics_app.models import Node
from sandbox_app import session_files
from sandbox_app.models import ToolSession
from sandbox_app.session_files import EXCHANGE
from sandbox_app.session_wire import PIECE_BYTES, Answer
from sparkweb.accounts.models import User

pytestmark = [pytest.mark.browser]


class PlayedFiles:
    """A node that keeps the files of one session in memory, and says no to names with `no` in them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.pieces: list[int] = []

    def send(self, node_name: str, task: str, **told: Any) -> bool:
        if task != "sandbox.session_files":
            return True
        asked, request = told["arguments"], told["request"]
        body = EXCHANGE.body(node_name, request) or b""
        if "no" in asked["path"]:
            return EXCHANGE.answer(
                node_name, Answer(request, False, code="full", sentence="The workspace is full.")
            )
        data, answered = getattr(self, told["op"])(asked, body)
        return EXCHANGE.answer(node_name, Answer(request, True, data, body=answered))

    def list(self, asked: dict[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        inside = asked["path"] + "/" if asked["path"] else ""
        names = [(name, None) for name in self.folders] + [
            (name, len(data)) for name, data in self.files.items()
        ]
        entries = [
            {"name": name.removeprefix(inside), "kind": "file" if size is not None else "folder",
             "size_bytes": size, "modified_at": 1.0, "reachable": True}
            for name, size in names if name.startswith(inside) and "/" not in name.removeprefix(inside)
        ]  # fmt: skip
        return {"path": asked["path"], "entries": entries, "more": False}, b""

    def read(self, asked: dict[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        data = self.files[asked["path"]]
        piece = data[asked["offset"] : asked["offset"] + asked["length"]]
        return {"size_bytes": len(data), "version": "v", "offset": asked["offset"]}, piece

    def write(self, asked: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        self.pieces.append(len(body))
        before = self.files.get("half", b"") if asked["offset"] else b""
        self.files["half"] = before + body
        if asked["last"]:
            self.files[asked["path"]] = self.files.pop("half")
        return {"size_bytes": asked["offset"] + len(body)}, b""

    def delete(self, asked: dict[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        self.files.pop(asked["path"], None)
        self.folders.discard(asked["path"])
        return {"deleted": 1}, b""

    def mkdir(self, asked: dict[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        self.folders.add(asked["path"])
        return {}, b""


@pytest.fixture
def played(house: Node, monkeypatch: pytest.MonkeyPatch) -> PlayedFiles:
    Node.objects.update(status="online")
    found = PlayedFiles()
    monkeypatch.setattr(session_files.commands, "send", found.send)
    return found


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0)


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_a_session_from_its_beginning_to_its_end(
    open_page: Any, played: PlayedFiles, page_admin: User, width: int, dark: bool
) -> None:
    page, _ = open_page("/tools/sessions/", page_admin, width=width, dark=dark)
    expect(page.get_by_text("No sessions")).to_be_visible()
    assert fits(page)
    page.locator("#id_label").fill("Plots")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", name="Plots")).to_be_visible()
    expect(page.get_by_text("No files yet")).to_be_visible()

    data = bytes(range(256)) * (PIECE_BYTES // 256) + b"rest"
    page.locator("#session-upload").set_input_files({"name": "big.bin", "mimeType": "x/y", "buffer": data})
    expect(page.get_by_role("link", name="big.bin")).to_be_visible()
    assert (played.files["big.bin"], played.pieces) == (data, [PIECE_BYTES, 4])
    with page.expect_download() as waiting:
        page.get_by_role("link", name="big.bin").click()
    assert waiting.value.suggested_filename == "big.bin"
    assert waiting.value.path().read_bytes() == data

    page.locator("#session-folder").fill("deep")
    page.get_by_role("button", name="Make").click()
    page.get_by_role("link", name="deep").click()
    expect(page.get_by_text("No files in this folder")).to_be_visible()
    page.locator("#session-upload").set_input_files({"name": "a & b?.txt", "mimeType": "x/y", "buffer": b""})
    expect(page.get_by_role("link", name="a & b?.txt")).to_be_visible()
    assert "deep/a & b?.txt" in played.files
    assert fits(page)

    page.locator("#session-upload").set_input_files({"name": "no.txt", "mimeType": "x/y", "buffer": b"x"})
    expect(page.locator("#files-refusal")).to_contain_text("The workspace is full.")
    page.get_by_role("link", name="workspace").click()
    page.get_by_role("button", name="Delete big.bin").click()
    expect(page.locator("dialog[open]")).to_contain_text("big.bin is deleted for good.")
    page.locator("dialog[open] [data-verb]").click()
    expect(page.get_by_role("link", name="big.bin")).to_have_count(0)
    assert "big.bin" not in played.files

    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_text("The session lasts longer")).to_be_visible()
    page.get_by_role("button", name="End", exact=True).click()
    expect(page.locator("dialog[open]")).to_contain_text("all files in its workspace are deleted")
    page.locator("dialog[open] [data-verb]").click()
    expect(page.get_by_text("Ending", exact=True)).to_be_visible()
    assert ToolSession.objects.get().state == "ending"
