"""The audit as a file: JSON Lines with all that is hashed, or CSV for a spreadsheet. Streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from django.utils import timezone

from sandbox_app.models_audit import AuditRecord
from sandbox_app.selectors_audit import AuditFilter, export_batches, record_json
from sparkweb.csv_text import csv_bytes

FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
CSV_HEADER = (
    "number", "at", "kind", "run", "tool", "user", "outcome", "via", "address", "exit_code", "duration_ms",
    "image", "tool_digest", "body", "previous", "mac",
)  # fmt: skip
FROM_BODY = ("via", "address", "exit_code", "duration_ms", "image", "tool_digest")


def export_answer(wanted: AuditFilter, form: str) -> StreamingHttpResponse:
    """Return a download of every entry that matches, newest first. `form` is jsonl or csv."""
    name = f"tool-audit-{timezone.now():%Y-%m-%d}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(_pieces(wanted, form), content_type=FORMATS[form], headers=headers)


async def _pieces(wanted: AuditFilter, form: str) -> AsyncIterator[bytes]:
    """Each batch is read in a thread and sent before the next is asked for."""
    write = _jsonl if form == "jsonl" else _csv
    if form == "csv":
        yield csv_bytes([list(CSV_HEADER)])
    batches = await sync_to_async(export_batches)(wanted)
    following: Callable[[], list[AuditRecord] | None] = lambda: next(batches, None)  # noqa: E731
    while (records := await sync_to_async(following)()) is not None:
        yield await sync_to_async(write)(records)


def _jsonl(records: list[AuditRecord]) -> bytes:
    return "".join(json.dumps(record_json(record), ensure_ascii=True) + "\n" for record in records).encode()


def _csv(records: list[AuditRecord]) -> bytes:
    rows = []
    for record in records:
        known = record_json(record)
        found = known | {name: record.content.get(name) for name in FROM_BODY} | {"body": record.body}
        rows.append([found[name] for name in CSV_HEADER])
    return csv_bytes(rows)
