"""Masking raw lines: parsed, masked, written again. No Django here."""

from __future__ import annotations

import json

from transcripts_app.format.lines import LineBad, line_read
from transcripts_app.redaction.engine import Redactor


def line_masked(line: bytes, redactor: Redactor) -> bytes:
    """One line, parsed, masked and written again; as it was where nothing is masked.

    A line that is no JSON is masked as text.
    """
    before = redactor.counts.total()
    try:
        masked = json.dumps(redactor.record(line_read(line.rstrip(b"\r"))), ensure_ascii=False,
                            separators=(",", ":"))  # fmt: skip
    except LineBad:
        masked = redactor.text(line.decode(errors="replace"))
    return line if redactor.counts.total() == before else masked.encode(errors="replace")
