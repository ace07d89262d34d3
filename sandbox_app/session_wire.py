"""The form in which a node answers about a session's files. Pure: both sides import it.

{"request": 32 hex, "ok": true, "data": {…}}\\n<bytes, of a `read`>
{"request": 32 hex, "ok": false, "code": "not_found", "sentence": "There is no a.txt."}\\n
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

PIECE_BYTES = 4 * 2**20
HEADER_BYTES = 768 * 1024
BODY_LIMIT_BYTES = PIECE_BYTES + HEADER_BYTES
REQUEST = re.compile(r"[0-9a-f]{32}")


class AnswerInvalid(ValueError):
    """The bytes are no answer; the sentence says why."""


@dataclass(frozen=True)
class Answer:
    """What a node did or refused. `data` and `body` are of what was asked for."""

    request: str
    ok: bool
    data: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    sentence: str = ""
    body: bytes = b""


def answer_pack(answer: Answer) -> bytes:
    """The bytes of an answer."""
    head: dict[str, Any] = {"request": answer.request, "ok": answer.ok}
    head |= {"data": answer.data} if answer.ok else {"code": answer.code, "sentence": answer.sentence}
    return json.dumps(head).encode() + b"\n" + answer.body


def answer_read(body: bytes) -> Answer:
    """The answer in these bytes. Raises AnswerInvalid; trusts nothing."""
    end = body.find(b"\n", 0, HEADER_BYTES)
    if end < 0:
        raise AnswerInvalid("there is no header line")
    try:
        head = json.loads(body[:end])
    except (ValueError, RecursionError):
        raise AnswerInvalid("the header is no JSON") from None
    if not isinstance(head, dict) or not isinstance(head.get("ok"), bool):
        raise AnswerInvalid("the header says not whether it was done")
    request, data = head.get("request"), head.get("data", {})
    if not isinstance(request, str) or not REQUEST.fullmatch(request):
        raise AnswerInvalid("request: must be 32 hex digits")
    if not isinstance(data, dict) or len(body) - end - 1 > PIECE_BYTES:
        raise AnswerInvalid("data: must be an object, with at most 4 MiB after it")
    code, sentence = (str(head.get(name) or "")[:500] for name in ("code", "sentence"))
    return Answer(request, head["ok"], data, code, sentence, body[end + 1 :])
