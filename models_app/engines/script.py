"""Your own serve.sh on the node itself: from a definition and a node to what is run. Pure.

No container: `serve.sh` of a folder below the node's scripts folder runs as the
agent's user, in a session of its own, with a small environment. `stop.sh` beside
it is asked first when it shall end.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from models_app.engines.container import CONTAINER_SETTINGS, EngineKind, settings_merged
from models_app.engines.inputs import DefinitionData, LaunchIds, NodeData
from models_app.engines.settings_schema import Setting, SettingsInvalid, settings_problems, settings_table
from models_app.engines.spec import ProbeSpec, SpecInvalid

SERVE = "serve.sh"
STOP = "stop.sh"
_SHARED = {row.name: row for row in CONTAINER_SETTINGS}
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,7}")
_OWN = re.compile(r"PORT|HOST|DEFINITION|MODEL_ID|LAUNCH")

SCRIPT = EngineKind(
    name="script",
    label="Script",
    settings=settings_table(
        Setting(
            "probe",
            "text",
            "Ready when: openai, health_path answers 200 and /v1/models lists it; http, health_path alone; "
            "none, as soon as it runs.",
            choices=("openai", "http", "none"),
        ),
        Setting("health_path", "path", "Path that answers 200 once it is ready."),
        Setting("served_model_name", "text", "Name in /v1/models, if not the definition's."),
        _SHARED["restart_policy"],
        Setting("env", "environment", "Environment variables of serve.sh and stop.sh."),
    ),
    built_in={"restart_policy": "unless-stopped", "probe": "openai", "health_path": "/health"},
)


@dataclass(frozen=True)
class ScriptSpec:
    """One run of a script. `folder` is below the node's scripts folder, `env` what is added to the small one.

    `ttl_seconds` as in ContainerSpec, `command` for who shows either. `kind` tells the two apart in JSON.
    """

    launch: str
    member: str
    generation: int
    installation: str
    node: str
    slug: str
    name: str
    folder: str
    port: int
    probe: ProbeSpec
    ttl_seconds: int = 60
    env: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=lambda: [f"./{SERVE}"])
    kind: str = "script"

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise SpecInvalid(problem)

    @property
    def image(self) -> str:
        """There is none."""
        return ""

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON types, with every field present."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScriptSpec:
        """Read what to_json wrote. Raises SpecInvalid for missing, unknown or wrongly typed fields."""
        try:
            return cls(**{**data, "probe": ProbeSpec(**data["probe"])})
        except KeyError as error:
            raise SpecInvalid(f"script spec: {error} is missing") from None
        except TypeError as error:
            raise SpecInvalid(f"script spec: {error}") from None


def script_dir_problem(folder: object) -> str | None:
    """What is wrong with a script_dir, as `expected …, found …`; None if nothing."""
    if isinstance(folder, str) and len(folder) <= 200 and _FOLDER.fullmatch(folder):
        return None
    expected = "a folder below the node's scripts folder, such as vllm-qwen3-235b-awq (no .., no leading /)"
    return f"expected {expected}, found {str(folder)[:60]!r}" if folder else f"expected {expected}"


def script_spec(
    definition: DefinitionData, defaults: Mapping[str, Any], node: NodeData, launch: LaunchIds
) -> tuple[ScriptSpec, list[str]]:
    """The run of a definition on a node, and notes for its owner.

    Raises SettingsInvalid for a script_dir or values that cannot be used.
    """
    settings = settings_merged(SCRIPT, definition, defaults)
    problems = settings_problems(SCRIPT.settings, settings)
    if problem := script_dir_problem(definition.script_dir):
        problems.insert(0, ("script_dir", problem))
    if problems:
        raise SettingsInvalid([f"{definition.slug}: {name}: {problem}" for name, problem in problems])
    spec = ScriptSpec(
        launch=launch.launch,
        member=launch.member,
        generation=launch.generation,
        installation=launch.installation,
        node=node.name,
        slug=definition.slug,
        name=launch.container_name(definition.slug),
        folder=definition.script_dir,
        port=definition.port,
        probe=ProbeSpec(
            kind=settings["probe"],
            port=definition.port,
            path=settings["health_path"],
            model=settings.get("served_model_name") or definition.slug,
        ),
        env=_environment(definition, node, launch, settings),
    )
    return spec, _notes(definition, node, settings)


def script_line(spec: ScriptSpec) -> str:
    """What the agent runs, for a shell: a copy run by hand is not SparkWeb's."""
    variables = " ".join(shlex.quote(f"{name}={value}") for name, value in sorted(spec.env.items()))
    return (
        f'cd "$SPARKWEB_SCRIPTS_DIR"/{shlex.quote(spec.folder)} \\\n'
        f'  && env -i PATH="$PATH" HOME="$HOME" {variables} ./{SERVE}'
    )


def _environment(
    definition: DefinitionData, node: NodeData, launch: LaunchIds, settings: Mapping[str, Any]
) -> dict[str, str]:
    own = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.get("env", {}).items()
    }
    return {
        **({"HF_HOME": node.hf_cache} if node.hf_cache else {}),
        **own,
        "PORT": str(definition.port),
        "HOST": "127.0.0.1",
        "DEFINITION": definition.slug,
        "MODEL_ID": definition.model_id,
        "LAUNCH": launch.launch,
    }


def _notes(definition: DefinitionData, node: NodeData, settings: Mapping[str, Any]) -> list[str]:
    notes = [
        f"{name} is ignored: serve.sh decides that; it is kept and shown"
        for name in settings
        if name not in SCRIPT.settings
    ]
    if definition.publish != "local":
        notes.append("Reachable from has no effect: serve.sh decides where it listens")
    notes += [
        f"env: {name} is set by SparkWeb itself" for name in settings.get("env", {}) if _OWN.fullmatch(name)
    ]
    if not node.scripts_dir:
        notes.append(f"{node.name} names no scripts folder: set SPARKWEB_SCRIPTS_DIR there")
    return notes


def _problems(spec: ScriptSpec) -> list[str]:
    found = [
        f"{name}={getattr(spec, name)!r}: must be a text that is not empty"
        for name in ("launch", "member", "installation", "node", "slug", "name")
        if not isinstance(getattr(spec, name), str) or not getattr(spec, name)
    ]
    if not isinstance(spec.generation, int) or spec.generation < 0:
        found.append(f"generation={spec.generation!r}: must be a whole number, 0 or more")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(spec.member)):
        found.append(f"member={spec.member!r}: must be letters and digits")
    if problem := script_dir_problem(spec.folder):
        found.append(f"folder: {problem}")
    if not isinstance(spec.port, int) or not 1 <= spec.port <= 65535:
        found.append(f"port {spec.port!r}: must be a whole number from 1 to 65535")
    if spec.probe.kind not in ("openai", "http", "none"):
        found.append(f"probe kind={spec.probe.kind!r}: must be openai, http or none")
    if not isinstance(spec.env, dict) or not all(
        isinstance(word, str) and "\0" not in word for pair in spec.env.items() for word in pair
    ):
        found.append("env: must be texts")
    return found
