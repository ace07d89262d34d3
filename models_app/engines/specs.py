"""What a member of a launch runs, whichever way: a container or a script. Pure."""

from __future__ import annotations

from typing import Any

from models_app.engines.script import ScriptSpec, script_line
from models_app.engines.spec import ContainerSpec, docker_run_line

LaunchSpec = ContainerSpec | ScriptSpec


def spec_read(data: Any) -> LaunchSpec:
    """Read what to_json of either wrote. Raises SpecInvalid."""
    if isinstance(data, dict) and data.get("kind") == "script":
        return ScriptSpec.from_json(data)
    return ContainerSpec.from_json(data)


def run_line(spec: LaunchSpec) -> str:
    """What the agent does, as a line for a shell."""
    return script_line(spec) if isinstance(spec, ScriptSpec) else docker_run_line(spec)
