"""Where other apps tell verdicts of models. Each is called once a second and answers from memory."""

from __future__ import annotations

from collections.abc import Callable

from metrics_app.verdicts.stragglers import Group

GROUP_SOURCES: list[Callable[[], list[Group]]] = []
"""Each names the models that run on several nodes and are ready; apps add theirs in `ready()`."""
MODEL_SOURCES: list[Callable[[str], str | None]] = []
"""Each gives the model's slug of a launch member, or None; apps add theirs in `ready()`."""


def groups_now() -> list[Group]:
    """The models that run on several nodes."""
    return [group for source in GROUP_SOURCES for group in source()]


def model_of(member: str) -> str | None:
    """The slug of the model that a launch member is of."""
    return next((slug for source in MODEL_SOURCES if (slug := source(member))), None)
