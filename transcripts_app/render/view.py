"""What a page draws: a record as a list of parts, each with the template that draws it. No Django here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Part:
    """A piece of a record. `template` is a name below templates/transcripts_app/parts/, `data` all it needs.

    Texts in `data` are plain unless their name ends in `_html`; those are sanitised. `is_cut`
    says that more is shown on demand (`record_view(…, whole=True)`).
    """

    template: str
    data: dict[str, Any]
    is_folded: bool = False
    is_cut: bool = False
    label: str = ""  # beside the fold


@dataclass(slots=True)
class RecordView:
    """A record, ready to be drawn. `tone`: prompt, answer, thinking, tool, result, error, note."""

    tone: str
    title: str = ""
    parts: list[Part] = field(default_factory=list)
