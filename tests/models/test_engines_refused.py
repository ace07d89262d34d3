"""Settings of the engines besides vLLM that no container can be made from, and how that is said."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.registry import SPECS
from models_app.engines.settings_schema import SettingsInvalid

IDS = LaunchIds(installation="0a1b2c3d", launch="1a2b3c4d5e6f7081", member="aa" * 8, generation=3, attempt=2)


def made(engine: str, settings: dict[str, Any] | None = None, image: str = "img:1") -> None:
    definition = DefinitionData("m", "org/m", 8104, image, settings or {})
    SPECS[engine](definition, {}, NodeData("spark-1"), IDS)


WRONG: list[tuple[str, str, Any, str]] = [
    ("sglang", "mem_fraction_static", 60, "expected a number from 0.01 to 1, found 60"),
    ("sglang", "context_length", "long", 'expected a whole number of at least 1, found "long"'),
    ("llamacpp", "flash_attn", True, "expected one of on, off, auto, found true"),
    ("llamacpp", "cache_type_k", "q3", "expected one of f32"),
    ("llamacpp", "entrypoint", "llama-server", "expected a list of texts"),
    ("trtllm", "backend", "cpp", "expected one of pytorch"),
    ("trtllm", "tool_parser", "--help", "does not begin with a hyphen"),
    ("nim", "log_level", "loud", "expected one of TRACE"),
    ("nim", "env", {"NGC_API_KEY": "nvapi-1"}, "expected no secrets (NGC_API_KEY"),
    ("ollama", "keep_alive", "for ever", "expected seconds, or a time such as 5m or 24h"),
    ("ollama", "keep_alive", True, "expected seconds, or a time"),
    ("ollama", "keep_alive", "5m; id", "expected seconds, or a time"),
    ("ollama", "context_length", 0, "of at least 1, found 0"),
    ("custom", "command", "serve --port 8000", "expected a list of texts, one for each argument"),
    ("custom", "command", ["a", 1], "expected a list of texts"),
    ("custom", "command", ["a\0b"], "expected a list of texts"),
    ("custom", "command", ["x" * 100_000], "expected at most 200 arguments of at most 8192 characters"),
    ("custom", "command", ["x"] * 201, "expected at most 200 arguments"),
    ("custom", "container_port", 70000, "from 1 to 65535"),
    ("custom", "health_path", "health", "expected a path that begins with /"),
    ("custom", "health_path", "/a b", "expected a path that begins with /"),
    ("custom", "health_path", "/a\r\nHost: x", "expected a path that begins with /"),
    ("custom", "env", {"A": "x" * 100_000}, "expected at most 8192 characters as value of A"),
    ("custom", "env", {str(n): "x" for n in range(201)}, "at most 200 of them"),
    ("sglang", "chat_template", "x" * 100_000, "expected at most 8192 characters"),
    ("sglang", "json_model_override_args", {"a": "x" * 100_000}, "expected at most 32768 characters"),
    ("sglang", "json_model_override_args", "[" * 100_000, "expected a mapping, or JSON in quotes"),
]


@pytest.mark.parametrize(
    ("engine", "name", "value", "sentence"), WRONG, ids=[f"{e}-{n}" for e, n, _, _ in WRONG]
)
def test_wrong_value_is_refused_with_name_and_what_is_expected(
    engine: str, name: str, value: Any, sentence: str
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        made(engine, {name: value})
    [problem] = caught.value.problems
    assert problem.startswith(f"m: {name}: expected")
    assert sentence in problem and len(problem) < 300


@pytest.mark.parametrize("engine", ["nim", "custom"])
def test_image_is_needed_where_there_is_no_default(engine: str) -> None:
    with pytest.raises(SettingsInvalid, match="m: image: expected the image to run"):
        made(engine, image="")
