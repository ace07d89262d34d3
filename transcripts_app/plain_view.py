"""A record as plain text, until parts are drawn."""

from __future__ import annotations

import json
from typing import Any

from transcripts_app.format.kinds import Kind
from transcripts_app.render.view import Part, RecordView


def record_view(
    record: dict[str, Any],
    *,
    kind: Kind,
    results: dict[str, dict[str, Any]],
    whole: bool = False,  # noqa: ARG001
) -> RecordView:
    text = json.dumps(record.get("message", record), ensure_ascii=False, indent=1)
    for one in results.values():
        text += "\n" + json.dumps(one.get("message"), ensure_ascii=False, indent=1)
    return RecordView(kind.name.lower(), kind.name.capitalize(), [Part("plain", {"text": text[:4000]})])
