"""Words and tones of the import's pages."""

from __future__ import annotations

import unicodedata
from typing import Any, cast

from django import template

from sparkweb.accounts.models import User
from transcripts_app.archive.models import Project
from transcripts_app.keeping import may_share
from transcripts_app.selectors_keeping import tags_known

register = template.Library()

SOURCES = {
    "follows": ("Followed", "good"),
    "reads": ("Being read", "busy"),
    "waits": ("Not read yet", "idle"),
    "disabled": ("Disabled", "idle"),
    "problem": ("Cannot be read", "bad"),
}
TRIGGERS = {
    "follow": "A day of following",
    "command": "By command",
    "upload": "An upload",
    "node": "A day of a node",
}
UPLOADS = {
    "receiving": "Being received",
    "requested": "Waits to be read",
    "running": "Being read",
    "gone": "Read earlier",
}
TONES = {"requested": "idle", "running": "busy", "done": "good", "failed": "bad"}
REQUESTS = {
    "upload": "Read an upload",
    "restore": "Write a session back",
    "session_delete": "Delete a session",
    "prices_apply": "Apply prices",
}


@register.filter
def source_word(state: str) -> str:
    """How a source is, in words."""
    return SOURCES[state][0]


@register.filter
def source_tone(state: str) -> str:
    """The colour of it."""
    return SOURCES[state][1]


@register.filter
def trigger_word(trigger: str) -> str:
    """What had a run begin."""
    return TRIGGERS.get(trigger, trigger)


@register.filter
def request_word(kind: str) -> str:
    """What was asked for."""
    return REQUESTS.get(kind, kind.replace("_", " ").capitalize())


@register.filter
def upload_word(state: str) -> str:
    """How an upload is, in words."""
    return UPLOADS.get(state, state.capitalize())


@register.filter
def request_tone(state: str) -> str:
    """The colour of a request."""
    return TONES.get(state, "idle")


@register.filter
def shown(text: str) -> str:
    """A text from a file's name or a bad line: control and direction characters are made visible."""
    return "".join(
        f"\\x{ord(letter):02x}"
        if letter not in "\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else letter
        for letter in text
    )


@register.simple_tag(takes_context=True)
def kept_tags(context: dict[str, Any]) -> list[str]:
    """Tags on sessions that the visitor sees."""
    return tags_known(cast(User, context["request"].user))


@register.simple_tag(takes_context=True)
def may_share_project(context: dict[str, Any], project: Project) -> bool:
    """Whether the visitor says who sees a project."""
    return may_share(cast(User, context["request"].user), project)
