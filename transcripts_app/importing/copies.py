"""When two lines with one uuid say the same. No Django here."""

from __future__ import annotations

from typing import Any

from transcripts_app.format.lines import LineBad, line_read

OF_THE_COPY = ("sessionId", "cwd", "gitBranch", "version", "slug", "forkedFrom", "isSidechain", "parentUuid")


def message_of(data: bytes) -> dict[str, Any] | None:
    """Return a record without the fields that a fork or a resume may rewrite; None for no record."""
    try:
        record = line_read(data)
    except LineBad:
        return None
    return {name: value for name, value in record.items() if name not in OF_THE_COPY}
