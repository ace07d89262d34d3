"""Whether a definition's settings can be stored: sizes, and values that its engine can use."""

from __future__ import annotations

import orjson
from django.core.exceptions import ValidationError

from models_app.engines.registry import engine_kind
from models_app.engines.settings_schema import settings_problems
from models_app.models import ModelDefinition

SETTINGS_MOST = 65536


def settings_check(definition: ModelDefinition) -> None:
    """Raise ValidationError for settings that no start could use. Unknown ones pass: they are ignored."""
    length = len(orjson.dumps(definition.settings))
    if length > SETTINGS_MOST:
        raise ValidationError(f"settings: expected at most {SETTINGS_MOST} characters, found {length}.")
    problems = settings_problems(engine_kind(definition.engine).settings, definition.settings)
    if problems:
        raise ValidationError([f"{name}: {problem}." for name, problem in problems])
