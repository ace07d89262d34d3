"""What a page draws: a record as a list of parts, each with the template that draws it. No Django here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Part:
    """A piece of a record. `template` is a name below templates/transcripts_app/parts/, `data` all it needs.

    Texts in `data` are plain unless named `html` or `…_html`; those are sanitised. `is_cut`
    says that more is shown on demand (`record_view(…, whole=True)`); `size` is all of it, in words.
    """

    template: str
    data: dict[str, Any]
    is_folded: bool = False
    is_cut: bool = False
    label: str = ""  # beside the fold
    size: str = ""
    parts: list[Part] = field(default_factory=list)  # what is drawn inside of it

    @property
    def path(self) -> str:
        """The template's path."""
        return f"transcripts_app/parts/_{self.template}.html"


@dataclass(slots=True)
class RecordView:
    """A record, ready to be drawn. `tone`: prompt, answer, thinking, tool, result, error, note.

    `is_quiet` is what a page draws small: one line among the messages. `icon` names a Tabler icon.
    """

    tone: str
    title: str = ""
    parts: list[Part] = field(default_factory=list)
    icon: str = ""
    is_quiet: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether anything in it is shown on demand only."""
        waiting = list(self.parts)
        while waiting:
            part = waiting.pop()
            if part.is_cut:
                return True
            waiting += part.parts
        return False
