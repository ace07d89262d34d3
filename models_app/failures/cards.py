"""A failed attempt as it is kept, and the card that pages show of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models_app.engines.settings_schema import Setting

Correction = Mapping[str, Any]
"""Settings that would mend it, over those that failed; None takes one back."""


@dataclass(frozen=True)
class Failed:
    """A failed attempt. `settings` are those that counted, defaults included; `known` the engine's table."""

    code: str = ""
    reason: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    log: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One setting of a correction: `before` and `after`, None for not set."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class FailureCard:
    """What a page shows. `changes` is the correction that can be started at once, if there is one."""

    kind: str
    title: str
    evidence: str
    advice: str
    changes: tuple[Change, ...] = ()

    @property
    def overlay(self) -> dict[str, Any]:
        """The correction as settings over the definition's own; None takes one back."""
        return {change.name: change.after for change in self.changes}


Correct = Callable[[Failed, re.Match[str]], Correction]


@dataclass(frozen=True)
class Rule:
    """Words that an engine says, and what they mean. Rules are tried in order, the newest line first."""

    kind: str
    title: str
    pattern: re.Pattern[str]
    advice: str
    correct: Correct | None = None


@dataclass(frozen=True)
class CodeRule:
    """What a failure's code means by itself. Not `certain`: the log may know better."""

    kind: str
    title: str
    advice: str
    certain: bool = True


def changes_of(failed: Failed, correction: Correction) -> tuple[Change, ...]:
    """The changes that a correction makes: known settings only, and only those that differ."""
    return tuple(
        Change(name, failed.settings.get(name), after)
        for name, after in correction.items()
        if name in failed.known and failed.settings.get(name) != after
    )
