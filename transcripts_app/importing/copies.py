"""When two lines with one uuid say the same. No Django here."""

from __future__ import annotations

from typing import Any

from transcripts_app.format.lines import LineBad, line_read

OF_THE_COPY = (
    "sessionId", "cwd", "gitBranch", "version", "slug", "forkedFrom", "isSidechain", "parentUuid",
    "logicalParentUuid", "agentId", "entrypoint", "userType",
)  # fmt: skip


def says_the_same(one: bytes, other: bytes) -> bool:
    """Whether two lines differ at most in what a fork or a resume rewrites."""
    if one == other:
        return True
    try:
        return _said(one) == _said(other)
    except RecursionError:  # nested so deeply that they cannot be compared
        return False


def _said(data: bytes) -> dict[str, Any] | None:
    try:
        record = line_read(data)
    except LineBad:
        return None
    return {name: value for name, value in record.items() if name not in OF_THE_COPY}
