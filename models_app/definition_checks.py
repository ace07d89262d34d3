"""Whether a definition can be stored: names, sizes, and values that its engine can use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
from django.core.exceptions import ValidationError

from models_app.engines.images import image_problem
from models_app.engines.registry import SPANNING_ENGINES, engine_kind
from models_app.engines.script import script_dir_problem
from models_app.engines.settings_schema import settings_problems

if TYPE_CHECKING:
    from models_app.models import ModelDefinition

SETTINGS_MOST = 65536
DESCRIPTION_MOST = 4000
# As JSON writes it, and not a backslash before the letters u0000; PostgreSQL stores none.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def definition_problems(definition: ModelDefinition) -> dict[str, str]:
    """What is wrong with a definition's fields, beside what each field checks by itself."""
    found = {}
    if (definition.node_count or 1) > 1 and definition.engine not in SPANNING_ENGINES:
        engine = definition.get_engine_display()
        found["node_count"] = f"{engine} runs on one node; only vLLM can span several."
    if definition.engine == "script" and (problem := script_dir_problem(definition.script_dir)):
        found["script_dir"] = _sentence(problem)
    if definition.image and (problem := image_problem(definition.image)):
        found["image"] = _sentence(problem)
    if len(definition.description) > DESCRIPTION_MOST:
        found["description"] = f"Expected at most {DESCRIPTION_MOST} characters."
    if definition.model_id.startswith("-"):
        found["model_id"] = "Expected a name or path that does not begin with a hyphen."
    return found


def settings_check(definition: ModelDefinition) -> None:
    """Raise ValidationError for settings that no start could use. Unknown ones pass: they are ignored."""
    problems = settings_problems(engine_kind(definition.engine).settings, definition.settings)
    if problems:
        raise ValidationError([f"{name}: {problem}." for name, problem in problems])
    text = orjson.dumps(definition.settings).decode()
    length = len(text)
    if _NUL.search(text):
        raise ValidationError("settings: must not contain the character NUL.")
    if length > SETTINGS_MOST:
        raise ValidationError(f"settings: expected at most {SETTINGS_MOST} characters, found {length}.")


def _sentence(problem: str) -> str:
    return f"{problem[0].upper()}{problem[1:]}."
