"""How an entry of the tool audit is turned into bytes and hashed. Pure.

    mac(n) = HMAC-SHA256(key, mac(n-1) ⏎ number ⏎ time ⏎ kind ⏎ run ⏎ tool ⏎ user ⏎ outcome ⏎ covers ⏎ body)

No field of an entry that was appended holds a line feed (`line` takes them out, and the body is JSON in
ASCII), so each message has exactly nine of them. A changed entry that moves text from one field into its
neighbour with a line feed has ten, and so is no message that was ever hashed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from datetime import UTC, datetime
from typing import Any

BODY_MOST_BYTES = 256 * 1024
SHORT_MOST_CHARACTERS = 200


def line(text: str, most: int) -> str:
    """Return `text` as one line of at most `most` characters that any database takes."""
    clean = text.encode("utf-8", "replace").decode()
    return "".join(" " if ord(sign) < 32 or sign in "\x7f\x85\u2028\u2029" else sign for sign in clean)[:most]


def time_text(at: datetime) -> str:
    """Return a moment as it is hashed: UTC, in microseconds, like 2026-12-01 04:00:00.000000."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def body_text(body: dict[str, Any]) -> str:
    """Return what is recorded as canonical JSON in ASCII: sorted keys, no spaces, no NaN.

    Of more than 256 kB only the short values stay, with size and SHA-256 of the whole.
    """
    text = _dumps(body)
    if len(text) <= BODY_MOST_BYTES:
        return text
    short = {
        key: value
        for key, value in body.items()
        if value is None
        or isinstance(value, bool | int | float)
        or len(_dumps(value)) <= SHORT_MOST_CHARACTERS
    }
    whole = {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    text = _dumps(short | {"too_large": whole})
    return text if len(text) <= BODY_MOST_BYTES else _dumps({"too_large": whole})


def _dumps(value: Any) -> str:
    return json.dumps(
        _finite(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=str
    )


def _finite(value: Any) -> Any:
    """Return `value` with text for keys and for figures that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def record_mac(
    key: bytes,
    *,
    previous: str,
    number: int,
    at: str,
    kind: str,
    run_uid: str,
    tool_name: str,
    user_label: str,
    outcome: str,
    covers: int | None,
    body: str,
) -> str:
    """Return the keyed hash of one entry, 64 hex digits. `at` is what time_text() returns."""
    message = (
        f"{previous}\n{number}\n{at}\n{kind}\n{run_uid}\n{tool_name}\n{user_label}\n{outcome}\n"
        f"{'' if covers is None else covers}\n{body}"
    )
    return hmac.digest(key, message.encode("utf-8", "surrogatepass"), "sha256").hex()
