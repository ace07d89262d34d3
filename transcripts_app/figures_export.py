"""Figures as a file: rows of one dimension as CSV for a spreadsheet, or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from sparkweb.csv_text import csv_bytes
from transcripts_app.figures import CALLS, TOKENS, Figures

FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
COLUMNS = (
    "name", "key", "sessions", "responses", *TOKENS, "tokens", "cache_share", "cost_dollars", "cost_micros",
    "unpriced", "warmup_responses", "warmup_cost_micros", "web_searches", "web_fetches", *CALLS, "active_ms",
    "prompts",
)  # fmt: skip


def figures_file(form: str, dimension: str, rows: Iterable[Figures], total: Figures) -> bytes:
    """Return the rows of a dimension as a file of one of FORMATS."""
    if form == "json":
        whole = {"by": dimension, "total": total.as_json(), "rows": [row.as_json() for row in rows]}
        return orjson.dumps(whole, option=orjson.OPT_INDENT_2)
    lines: list[list[Any]] = [[dimension, *COLUMNS[1:]]]
    for row in rows:
        told = row.as_json()
        micros: int | None = told["cost_micros"]
        told["cost_dollars"] = None if micros is None else f"{micros / 1_000_000:.6f}"
        lines.append([told[name] for name in COLUMNS])
    return csv_bytes(lines)
