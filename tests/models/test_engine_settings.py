"""Values of vLLM's settings that are refused, and how that is said."""

from __future__ import annotations

from typing import Any

import pytest

from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import SettingsInvalid, settings_problems, size_bytes
from models_app.engines.vllm import vllm_spec
from models_app.engines.vllm_settings import VLLM_SETTINGS

IDS = LaunchIds(installation="0a1b2c3d", launch="1a2b3c4d5e6f7081", member="aa" * 8, generation=3, attempt=2)


def made(settings: dict[str, Any]) -> None:
    definition = DefinitionData(slug="m", model_id="org/m", port=8104, settings=settings)
    vllm_spec(definition, {}, NodeData("spark-1"), IDS)


WRONG: list[tuple[str, Any, str]] = [
    ("max_model_len", "many", 'expected a whole number of at least 1, found "many"'),
    ("max_model_len", 0, "of at least 1, found 0"),
    ("max_model_len", True, "found true"),
    ("max_num_seqs", 1.5, "found 1.5"),
    ("gpu_memory_utilization", 40, "expected a number from 0.01 to 1, found 40"),
    ("dtype", "int4", "expected one of auto, half"),
    ("enforce_eager", "maybe", "expected true or false"),
    ("tool_call_parser", "--evil", "does not begin with a hyphen"),
    ("tool_call_parser", "a\nb", "expected text on one line"),
    ("tool_call_parser", "", "expected text on one line"),
    ("speculative_config", "{broken", "expected a mapping, or JSON in quotes"),
    ("speculative_config", "5", "expected a mapping, or JSON in quotes"),
    ("gpus", "2", "expected one of all, none"),
    ("ipc", "container:x", "expected one of host, private"),
    ("restart_policy", "sometimes", "expected one of no, always"),
    ("shm_size", "big", "expected a size such as 1g or 512m"),
    ("shm_size", 0, "expected a size"),
    ("ulimit_stack", -2, "of at least -1"),
    ("env", ["A=b"], "expected a mapping of variable names to values"),
    ("env", {"A B": "c"}, "expected names of letters, digits and underscores (not 'A B')"),
    ("env", {"HF_TOKEN": "hf_x"}, "expected no secrets (HF_TOKEN"),
    ("env", {"A": "x\ny"}, "expected text on one line or a number as value of A"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG, ids=[f"{n}-{v}"[:40] for n, v, _ in WRONG])
def test_wrong_value_is_refused(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        made({name: value})
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"m: {name}: expected")
    assert sentence in str(caught.value)


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        made({"max_model_len": 0, "max_num_seqs": 0, "unknown": 0})
    assert len(caught.value.problems) == 2


def test_secrets_in_a_refused_value_are_not_repeated() -> None:
    [(_, problem)] = settings_problems(VLLM_SETTINGS, {"env": {"HF_TOKEN": "hf_abcdef"}})
    assert "hf_abcdef" not in problem


SIZES: dict[Any, int] = {"1g": 2**30, "512m": 2**29, "1GiB": 2**30, "64kb": 65536, "7": 7, 67108864: 67108864}


@pytest.mark.parametrize(("text", "expected"), SIZES.items())
def test_sizes(text: Any, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "g", "-1g", "1.5g", "0", True, 0, -1, None])
def test_what_is_no_size(text: Any) -> None:
    assert size_bytes(text) is None
