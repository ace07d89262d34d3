"""Rows as CSV for spreadsheets. A module of its own: every app exports some."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return rows as CSV in UTF-8; None is an empty cell, and no text is a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([csv_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def csv_cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula begins with an apostrophe.

    Source: OWASP, CSV Injection.
    """
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
