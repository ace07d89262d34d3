"""One JSON Schema (2020-12) from a tool's parameters, for every door: API, page, OpenAI, MCP. Pure.

`arguments_check` is the only judge of arguments: whoever calls, by whichever means, is
told the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from sandbox_app.exceptions import ArgumentsInvalid
from sandbox_app.job import ARGUMENTS_MOST_BYTES
from sandbox_app.schema_words import problem_sentence
from sandbox_app.wellformed import wellformed_problem

PROBLEMS_MOST = 20
BOUNDS = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"),
}


class ToolLike(Protocol):
    """What of a tool is told to models: a row of Tool, or anything alike."""

    name: str
    description: str
    definition: dict[str, Any]


def json_schema(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments: an object that takes these parameters and nothing else."""
    return _object(definition.get("parameters") or [])


def openai_function(tool: ToolLike, *, strict: bool = False) -> dict[str, Any]:
    """The tool as an entry of OpenAI's `tools`.

    With `strict` every property is required and optional ones take null, as the strict form
    demands; a tool with free-form objects has no strict form and comes as it is.
    Source: openai/openai-python#1733.
    """
    parameters = json_schema(tool.definition)
    function: dict[str, Any] = {
        "name": tool.name,
        "description": description_for_models(tool),
        "parameters": parameters,
    }
    if strict and _strict_possible(parameters):
        function |= {"parameters": _strict(parameters), "strict": True}
    return {"type": "function", "function": function}


def mcp_tool(tool: ToolLike) -> dict[str, Any]:
    """The tool as MCP's tools/list tells it (2025-06-18 and later)."""
    return {
        "name": tool.name,
        "title": tool.name.replace("_", " ").capitalize(),
        "description": description_for_models(tool),
        "inputSchema": json_schema(tool.definition),
    }


def description_for_models(tool: ToolLike) -> str:
    """The description, then the TOOL.md's Markdown, which is written for models."""
    body = str(tool.definition.get("instructions") or "").strip()
    return f"{tool.description.strip()}\n\n{body}".strip()


def arguments_check(definition: Mapping[str, Any], arguments: Any) -> dict[str, Any]:
    """Return the arguments with defaults applied, or raise ArgumentsInvalid with every problem found.

    null for an optional parameter counts as left out: the strict form of OpenAI sends it. Refused:
    anything but an object, what no parameter names, more than 4 MB as JSON, nesting beyond 64,
    NUL, halves of surrogate pairs, and numbers that JSON does not have.
    """
    if not isinstance(arguments, dict):
        raise ArgumentsInvalid(['Arguments must be an object, like {"name": "value"}.'])
    if problem := wellformed_problem(arguments, ARGUMENTS_MOST_BYTES):
        raise ArgumentsInvalid([problem])
    parameters = list(definition.get("parameters") or [])
    filled = _filled(parameters, arguments)
    errors = sorted(_validator(json.dumps(json_schema(definition))).iter_errors(filled), key=_place)
    if errors:
        sentences = [problem_sentence(error) for error in errors[:PROBLEMS_MOST]]
        raise ArgumentsInvalid(list(dict.fromkeys(sentences)))
    return filled


def value_problems(parameter: Mapping[str, Any], value: Any, whole: str) -> list[str]:
    """What a parameter's own schema says against a value, called `whole`: a default or enum of a TOOL.md."""
    errors = Draft202012Validator(_property(parameter)).iter_errors(value)
    return [problem_sentence(error, whole) for error in errors][:PROBLEMS_MOST]


def _object(parameters: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    listed = list(parameters)
    return {
        "type": "object",
        "properties": {parameter["name"]: _property(parameter) for parameter in listed},
        "required": [parameter["name"] for parameter in listed if parameter.get("required")],
        "additionalProperties": False,
    }


def _property(parameter: Mapping[str, Any]) -> dict[str, Any]:
    kind = parameter["type"]
    made: dict[str, Any] = {"type": kind}
    if kind == "object" and parameter.get("properties") is not None:
        made = _object(parameter["properties"])
    if kind == "array":  # OpenAI refuses arrays without items, even where any will do
        made["items"] = _property(parameter["items"]) if parameter.get("items") else {}
    for key in ("description", "enum", "default"):
        if parameter.get(key) is not None:
            made[key] = parameter[key]
    for word, key in zip(BOUNDS.get(kind, ()), ("min", "max"), strict=False):
        if parameter.get(key) is not None:
            made[word] = parameter[key]
    return made


def _filled(parameters: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments with defaults, without the nulls of what is optional, 3.0 as 3 for integers."""
    filled = dict(given)
    for parameter in parameters:
        name = parameter["name"]
        if name in filled and filled[name] is None and not parameter.get("required"):
            del filled[name]
        if name not in filled and parameter.get("default") is not None:
            filled[name] = parameter["default"]
        if name in filled:
            filled[name] = _tidied(parameter, filled[name])
    return filled


def _tidied(parameter: Mapping[str, Any], value: Any) -> Any:
    if parameter["type"] == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict) and parameter.get("properties"):
        return _filled(list(parameter["properties"]), value)
    if isinstance(value, list) and parameter.get("items"):
        return [_tidied(parameter["items"], each) for each in value]
    return value


def _strict_possible(schema: Mapping[str, Any]) -> bool:
    """No object in it, at any depth, whose properties are open."""
    if schema.get("type") == "object" and "properties" not in schema:
        return False
    if schema.get("type") == "array":
        return bool(schema["items"]) and _strict_possible(schema["items"])
    return all(_strict_possible(child) for child in schema.get("properties", {}).values())


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in schema.items() if key != "default"}
    if made["type"] == "array":
        made["items"] = _strict(made["items"])
    if made["type"] != "object":
        return made
    required = set(made["required"])
    made["properties"] = {
        name: _strict(child) if name in required else _nullable(_strict(child))
        for name, child in made["properties"].items()
    }
    made["required"] = list(made["properties"])
    return made


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    made = schema | {"type": [schema["type"], "null"]}
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    return made


@lru_cache(maxsize=128)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def _place(error: ValidationError) -> tuple[str, ...]:
    return tuple(str(part) for part in error.absolute_path)
