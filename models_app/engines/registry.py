"""Which engines there are: what each knows and how its container is made. Pure.

Planning, catalogue checks and forms ask here; nobody names an engine elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from models_app.engines.container import EngineKind
from models_app.engines.custom import CUSTOM, custom_spec
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.llamacpp import LLAMACPP, llamacpp_spec
from models_app.engines.nim import NIM, nim_spec
from models_app.engines.ollama import OLLAMA, ollama_spec
from models_app.engines.script import SCRIPT, script_spec
from models_app.engines.sglang import SGLANG, sglang_spec
from models_app.engines.specs import LaunchSpec
from models_app.engines.trtllm import TRTLLM, trtllm_spec
from models_app.engines.vllm import VLLM, vllm_spec

SpecFunction = Callable[
    [DefinitionData, Mapping[str, Any], NodeData, LaunchIds], tuple[LaunchSpec, list[str]]
]

ENGINES: dict[str, EngineKind] = {
    kind.name: kind for kind in (VLLM, OLLAMA, SGLANG, LLAMACPP, TRTLLM, NIM, SCRIPT, CUSTOM)
}
SPECS: dict[str, SpecFunction] = {
    "vllm": vllm_spec,
    "ollama": ollama_spec,
    "sglang": sglang_spec,
    "llamacpp": llamacpp_spec,
    "trtllm": trtllm_spec,
    "nim": nim_spec,
    "script": script_spec,
    "custom": custom_spec,
}
SPANNING_ENGINES = frozenset({"vllm"})
"""Engines whose model may lie on several nodes."""
NODES_MOST = 16
"""How many nodes one model may lie on."""


def engine_kind(name: str) -> EngineKind:
    """The engine of that name; for an unknown one a kind without settings."""
    return ENGINES.get(name) or EngineKind(name=name, label=name, settings={})


def context_length(name: str, settings: Mapping[str, Any]) -> int | None:
    """The context length in tokens that a definition's own settings name; None if they name none."""
    value = settings.get(engine_kind(name).context) or settings.get("max_model_len")
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def calls_tools(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a definition's own settings let the model call tools."""
    return any(settings.get(key) for key in (*engine_kind(name).tools, "enable_auto_tool_choice"))
