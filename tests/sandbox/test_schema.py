"""Arguments against a tool's schema: one judge for every door, defaults applied, each problem a sentence."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sandbox_app.exceptions import ArgumentsInvalid
from sandbox_app.schema import arguments_check, json_schema, mcp_tool, openai_function
from tests.sandbox.shipped import TOOLS, definition

DEFINITION: dict[str, Any] = {
    "instructions": "Use it well.",
    "parameters": [
        {"name": "code", "type": "string", "required": True, "min": 1, "max": 10},
        {"name": "language", "type": "string", "enum": ["python", "bash"], "default": "python"},
        {"name": "times", "type": "integer", "min": 1, "max": 5, "default": 1},
        {"name": "ratio", "type": "number", "max": 1},
        {"name": "loud", "type": "boolean", "default": False},
        {"name": "words", "type": "array", "items": {"type": "string"}, "min": 1, "max": 2},
        {"name": "where", "type": "object", "properties": [
            {"name": "x", "type": "integer", "required": True},
            {"name": "y", "type": "integer", "default": 7}]},
        {"name": "any", "type": "object"},
    ],
}  # fmt: skip
TOOL = SimpleNamespace(name="run_it", description="Runs it.", definition=DEFINITION)


def test_defaults_are_applied_at_every_depth() -> None:
    assert arguments_check(DEFINITION, {"code": "a"}) == {
        "code": "a", "language": "python", "times": 1, "loud": False
    }  # fmt: skip
    filled = arguments_check(DEFINITION, {"code": "a", "where": {"x": 1}, "times": 3.0})
    assert filled["where"] == {"x": 1, "y": 7}
    assert (filled["times"], type(filled["times"])) == (3, int)


def test_null_is_left_out_where_it_may_be() -> None:
    filled = arguments_check(
        DEFINITION, {"code": "a", "ratio": None, "times": None, "where": {"x": 1, "y": None}}
    )
    assert (filled["times"], "ratio" in filled, filled["where"]["y"]) == (1, False, 7)


PROBLEMS: list[tuple[Any, str]] = [
    ({}, "code is missing; it must be text."),
    ({"code": 1}, "code must be text, not 1."),
    ({"code": None}, "code must be text, not null."),
    ({"code": ""}, "code must have at least 1 characters, not 0."),
    ({"code": "a" * 11}, "code must have at most 10 characters, not 11."),
    ({"code": "a", "language": "ruby"}, 'language must be one of python, bash, not "ruby".'),
    ({"code": "a", "times": 0}, "times must be at least 1, not 0."),
    ({"code": "a", "times": True}, "times must be a whole number, not true."),
    ({"code": "a", "times": "3"}, 'times must be a whole number, not "3".'),
    ({"code": "a", "times": 1.5}, "times must be a whole number, not 1.5."),
    ({"code": "a", "ratio": 2}, "ratio must be at most 1, not 2."),
    ({"code": "a", "loud": "yes"}, 'loud must be true or false, not "yes".'),
    ({"code": "a", "words": []}, "words must have at least 1 entries, not 0."),
    ({"code": "a", "words": ["a", 2]}, "words[1] must be text, not 2."),
    ({"code": "a", "where": {}}, "where.x is missing; it must be a whole number."),
    ({"code": "a", "where": {"x": 1, "z": 2}}, '"z" is no argument of where; it takes x, y.'),
    ({"code": "a", "colour": 1}, '"colour" is no argument of this tool; it takes code, language'),
    ({"code": "a", "b": 1, "c": 2}, '"b", "c" are no arguments of this tool'),
    ({"code": "a\x00"}, "code contains the character NUL."),
    ({"code": "\ud800"}, "code contains half of a surrogate pair, which is no character."),
    ({"code": "a", "any": {"b\x00": 1}}, "a name within any contains the character NUL."),
    ({"a\x00": 1}, "a name of an argument contains the character NUL."),
    ({"code": "a", "ratio": float("nan")}, "ratio is nan, which is no number of JSON."),
    ({"code": "a", "ratio": float("-inf")}, "ratio is -inf, which is no number of JSON."),
    ({"code": "a", "times": 10**400}, "times is a number of more than 300 digits."),
    ({"code": "a", "any": {"b": b"x"}}, "any is a bytes, which JSON does not have."),
    ("code", "Arguments must be an object"),
    (["a"], "Arguments must be an object"),
    (None, "Arguments must be an object"),
]


@pytest.mark.parametrize(("arguments", "sentence"), PROBLEMS, ids=[str(n) for n in range(len(PROBLEMS))])
def test_each_problem_names_its_argument(arguments: Any, sentence: str) -> None:
    with pytest.raises(ArgumentsInvalid) as error:
        arguments_check(DEFINITION, arguments)
    assert error.value.problems[0].startswith(sentence), error.value.problems
    assert error.value.status == 400


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ArgumentsInvalid) as error:
        arguments_check(DEFINITION, {"language": "ruby", "times": 9})
    assert len(error.value.problems) == 3


def test_depth_and_size_have_bounds() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ArgumentsInvalid, match="any is nested more than 64 levels deep"):
        arguments_check(DEFINITION, {"code": "a", "any": deep})
    with pytest.raises(ArgumentsInvalid, match="at most 4 MiB"):
        arguments_check(DEFINITION, {"code": "a", "any": {"b": "é" * 2_100_000}})
    fits = {"code": "a", "any": {"b": "x" * 4_000_000}}
    assert len(arguments_check(DEFINITION, fits)["any"]["b"]) == 4_000_000


@pytest.mark.parametrize("name", sorted(place.name for place in TOOLS.iterdir()))
def test_every_shipped_tools_schema_is_one_and_its_examples_fit(name: str) -> None:
    schema = json_schema(definition(name))
    Draft202012Validator.check_schema(schema)
    for example in definition(name)["examples"]:
        filled = arguments_check(definition(name), example["input"])
        Draft202012Validator(schema).validate(filled)


def test_openai_and_mcp_carry_the_same_schema() -> None:
    function = openai_function(TOOL)["function"]
    assert function["parameters"] == mcp_tool(TOOL)["inputSchema"] == json_schema(DEFINITION)
    assert function["description"] == "Runs it.\n\nUse it well."
    assert "strict" not in function
    bare = SimpleNamespace(name="a", description="b", definition={})
    assert openai_function(bare)["function"]["parameters"] == {
        "type": "object", "properties": {}, "required": [], "additionalProperties": False
    }  # fmt: skip


def test_the_strict_form_requires_everything_and_lets_optional_ones_be_null() -> None:
    parameters = [parameter for parameter in DEFINITION["parameters"] if parameter["name"] != "any"]
    tool = SimpleNamespace(name="a", description="b", definition={"parameters": parameters})
    function = openai_function(tool, strict=True)["function"]
    schema = function["parameters"]
    assert function["strict"] is True
    assert schema["required"] == list(schema["properties"])
    assert schema["properties"]["code"]["type"] == "string"
    assert schema["properties"]["language"]["type"] == ["string", "null"]
    assert schema["properties"]["language"]["enum"] == ["python", "bash", None]
    assert schema["properties"]["where"]["additionalProperties"] is False
    assert "default" not in json.dumps(schema)
    given = dict.fromkeys(schema["required"]) | {"code": "a"}
    Draft202012Validator(schema).validate(given)
    assert arguments_check(tool.definition, given) == arguments_check(tool.definition, {"code": "a"})
    assert "strict" not in openai_function(TOOL, strict=True)["function"]  # `any` is open


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([parameter["name"] for parameter in DEFINITION["parameters"]]) | st.text(max_size=3)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=5) | JSON)
def test_anything_is_either_taken_or_refused_in_sentences(arguments: Any) -> None:
    try:
        filled = arguments_check(DEFINITION, arguments)
    except ArgumentsInvalid as error:
        assert all(sentence.strip() and sentence.endswith((".", "}.")) for sentence in error.problems)
    else:
        Draft202012Validator(json_schema(DEFINITION)).validate(filled)
        assert arguments_check(DEFINITION, filled) == filled
