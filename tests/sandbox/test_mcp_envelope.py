"""One message of each revision of the protocol, and everything that is none."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_app.mcp.envelope import (
    CAPABILITIES_KEY,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    VERSION_KEY,
    VERSION_UNSUPPORTED,
    Rejected,
    header_value,
    message_read,
)

META = {VERSION_KEY: "2026-07-28", CAPABILITIES_KEY: {}}
HEADERS = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "echo"}


def request(**fields: Any) -> dict[str, Any]:
    params = {"name": "echo", "arguments": {}, "_meta": META}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params} | fields


def test_a_request_of_2026_says_all_itself() -> None:
    message = message_read(request(), HEADERS)
    assert (message.method, message.id, message.version, message.is_modern) == (
        "tools/call",
        1,
        "2026-07-28",
        True,
    )


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_each_header_must_say_what_the_body_says(name: str) -> None:
    for headers in ({**HEADERS, name: "other"}, {key: text for key, text in HEADERS.items() if key != name}):
        with pytest.raises(Rejected) as rejected:
            message_read(request(), headers)
        assert (rejected.value.code, rejected.value.status, rejected.value.request_id) == (
            HEADER_MISMATCH,
            400,
            1,
        )


def test_a_name_beyond_ascii_comes_in_base64() -> None:
    named = request(params={"name": "größe", "_meta": META})
    assert message_read(named, {**HEADERS, "mcp-name": "=?base64?Z3LDtsOfZQ==?="}).params["name"] == "größe"
    assert header_value("=?base64?not base64?=") is None


def test_a_version_that_is_not_spoken_is_told_which_are() -> None:
    body = request(params={"name": "echo", "_meta": {**META, VERSION_KEY: "2031-01-01"}})
    with pytest.raises(Rejected) as rejected:
        message_read(body, {**HEADERS, "mcp-protocol-version": "2031-01-01"})
    assert rejected.value.code == VERSION_UNSUPPORTED
    assert rejected.value.data["supported"] == ["2026-07-28", "2025-11-25", "2025-06-18"]


def test_capabilities_must_be_told() -> None:
    with pytest.raises(Rejected, match="clientCapabilities") as rejected:
        message_read(request(params={"name": "echo", "_meta": {VERSION_KEY: "2026-07-28"}}), HEADERS)
    assert rejected.value.code == INVALID_PARAMS


@pytest.mark.parametrize(
    "body",
    [[], [request()], None, "x", 1, {}, request(jsonrpc="1.0"), request(method=7), request(id=None),
     request(id=True), request(id={"a": 1})],
)  # fmt: skip
def test_what_is_no_request_is_refused(body: Any) -> None:
    with pytest.raises(Rejected) as rejected:
        message_read(body, HEADERS)
    assert (rejected.value.code, rejected.value.status) == (INVALID_REQUEST, 400)


@pytest.mark.parametrize(
    ("wanted", "agreed"),
    [
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        (7, "2025-11-25"),
    ],
)
def test_a_handshake_agrees_on_a_version(wanted: Any, agreed: str) -> None:
    body = request(method="initialize", params={"protocolVersion": wanted, "capabilities": {}})
    message = message_read(body, {})
    assert (message.version, message.is_modern) == (agreed, False)


def test_after_the_handshake_a_header_names_the_version() -> None:
    listed = request(method="tools/list", params={})
    assert message_read(listed, {"mcp-protocol-version": "2025-11-25"}).version == "2025-11-25"
    assert message_read(listed, {}).version == "2025-06-18"
    with pytest.raises(Rejected):
        message_read(listed, {"mcp-protocol-version": "2019-01-01"})


def test_a_notification_has_no_id() -> None:
    told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}
    assert message_read(told, {"mcp-protocol-version": "2025-11-25"}).is_notification
