"""What one container of ours shall be, as JSON between control and a node.

Pure: no Docker, no database. Engines make a ContainerSpec, the agent carries it
out, pages show it as a `docker run` line. docs/architecture.md shows the JSON.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict, dataclass, field
from typing import Any

SECRETS_TARGET = "/run/secrets"
"""Folder inside the container where secret files are mounted, read only."""
WEIGHTS_LABEL = "sparkweb.weights"
"""Label with the Hugging Face repository (`org/name` or `org/name@revision`) that a start may download."""

RDMA_DEVICES = "/dev/infiniband"
"""Folder of a node with the devices of its RDMA adapters."""

# huggingface_hub reads a token from the file that HF_TOKEN_PATH names
# (huggingface_hub reference, environment variables).
_FILE_VARIABLES = {"HF_TOKEN": "HF_TOKEN_PATH"}


class SpecInvalid(ValueError):
    """A container spec has a field that cannot be used; the sentence names it and its value."""


@dataclass(frozen=True)
class PortSpec:
    """One published port: `container` inside, `host` on `address` of the node."""

    container: int
    host: int
    address: str = "127.0.0.1"


@dataclass(frozen=True)
class MountSpec:
    """One bind mount: a path of the node, and where it appears inside."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ProbeSpec:
    """How the agent finds out that the engine answers.

    kind `openai`: `path` answers 200 and /v1/models lists `model`; `ollama`:
    /api/tags lists `model`, which the agent pulls into the server that runs;
    `http`: `path` answers 200; `none`: ready as soon as it runs. `model` is the
    name that the engine itself uses. `port` is the node's port, asked on
    127.0.0.1 unless `host` says otherwise.
    """

    kind: str
    port: int
    path: str = "/health"
    model: str = ""
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class ContainerSpec:
    """One container of ours. `secret_env` maps a variable to a file name below the node's secrets folder.

    `secret_exports` does the same for programs that read no file: a shell inside the
    container reads the file into the variable before the program starts, so that
    Docker never learns the value. `user` "agent" runs it as the agent's own user
    (its files and secrets are that user's), None as the image says. `gpus` is "all"
    or None, `ipc` "host" or None, `shm_bytes` the size of /dev/shm (None: Docker's
    64 MB), `ulimits` soft and hard limit alike (-1: unlimited), `ttl_seconds` how
    long the agent may stand still before it abandons the start. `network` is
    "host" or None (Docker's bridge); in the host's network `ports` are those that
    the program itself takes, none is published. `devices` are paths of the node
    that appear inside; only RDMA's may.
    """

    launch: str
    member: str
    generation: int
    installation: str
    node: str
    slug: str
    name: str
    image: str
    command: list[str]
    probe: ProbeSpec
    ttl_seconds: int = 60
    entrypoint: list[str] | None = None
    env: dict[str, str] = field(default_factory=dict)
    secret_env: dict[str, str] = field(default_factory=dict)
    secret_exports: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    ports: list[PortSpec] = field(default_factory=list)
    mounts: list[MountSpec] = field(default_factory=list)
    gpus: str | None = None
    ipc: str | None = None
    shm_bytes: int | None = None
    ulimits: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    network: str | None = None
    devices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise SpecInvalid(problem)

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON types, with every field present."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> ContainerSpec:
        """Read what to_json wrote. Raises SpecInvalid for missing, unknown or wrongly typed fields."""
        if not isinstance(data, dict):
            raise SpecInvalid(f"container spec: must be an object, not {type(data).__name__}")
        try:
            fields = dict(data)
            fields["ports"] = [PortSpec(**port) for port in fields.get("ports") or []]
            fields["mounts"] = [MountSpec(**mount) for mount in fields.get("mounts") or []]
            fields["probe"] = ProbeSpec(**fields["probe"])
            return cls(**fields)
        except KeyError as error:
            raise SpecInvalid(f"container spec: {error} is missing") from None
        except TypeError as error:
            raise SpecInvalid(f"container spec: {error}") from None


def secret_variable(name: str, file_name: str) -> tuple[str, str]:
    """The variable and value that point an engine to a secret file, never to its content.

    HF_TOKEN becomes HF_TOKEN_PATH, which huggingface_hub reads; every other NAME
    becomes NAME_FILE, the convention of Docker's official images.
    """
    return _FILE_VARIABLES.get(name, f"{name}_FILE"), f"{SECRETS_TARGET}/{file_name}"


def docker_run_line(spec: ContainerSpec, secrets_dir: str = "$SPARKWEB_SECRETS_DIR") -> str:
    """The `docker run` command that does what the agent would, one option a line, quoted for a shell.

    Secrets appear by file name only; the labels by which agents find their
    containers are left out, so that a copy run by hand stays foreign.
    """
    lines = ["docker run -d --init --security-opt no-new-privileges", f"--name {shlex.quote(spec.name)}"]
    if spec.network == "host":
        lines.append("--network host")
    else:
        lines += [f"-p {shlex.quote(f'{p.address}:{p.host}:{p.container}')}" for p in spec.ports]
    lines += _resource_options(spec)
    lines += [f"-v {shlex.quote(_mount_text(m))}" for m in spec.mounts]
    for name, file_name in sorted(spec.secret_env.items()):
        variable, value = secret_variable(name, file_name)
        lines.append(f'-v "{secrets_dir}"/{file_name}:{value}:ro -e {shlex.quote(f"{variable}={value}")}')
    for name, file_name in sorted(spec.secret_exports.items()):
        lines.append(f'-e {name}="$(cat "{secrets_dir}"/{file_name})"')
    lines += [f"-e {shlex.quote(f'{name}={value}')}" for name, value in sorted(spec.env.items())]
    if spec.entrypoint:
        lines.append(f"--entrypoint {shlex.quote(spec.entrypoint[0])}")
    lines.append(shlex.join([spec.image, *(spec.entrypoint or [])[1:], *spec.command]))
    return " \\\n  ".join(lines)


def _resource_options(spec: ContainerSpec) -> list[str]:
    options = ['-u "$(id -u)"'] if spec.user else []
    options += [f"--gpus {shlex.quote(spec.gpus)}"] if spec.gpus else []
    options += [f"--ipc {shlex.quote(spec.ipc)}"] if spec.ipc else []
    options += [f"--device {shlex.quote(path)}" for path in spec.devices]
    options += [f"--shm-size {spec.shm_bytes}"] if spec.shm_bytes else []
    return options + [f"--ulimit {name}={value}" for name, value in sorted(spec.ulimits.items())]


def _mount_text(mount: MountSpec) -> str:
    return f"{mount.source}:{mount.target}" + (":ro" if mount.read_only else "")


def _problems(spec: ContainerSpec) -> list[str]:
    found = []
    for name in ("launch", "member", "installation", "node", "slug", "name", "image"):
        value = getattr(spec, name)
        if not isinstance(value, str) or not value:
            found.append(f"{name}={value!r}: must be a text that is not empty")
    if not isinstance(spec.generation, int) or spec.generation < 0:
        found.append(f"generation={spec.generation!r}: must be a whole number, 0 or more")
    if not isinstance(spec.ttl_seconds, int) or spec.ttl_seconds < 1:
        found.append(f"ttl_seconds={spec.ttl_seconds!r}: must be a whole number of seconds, 1 or more")
    found += [f"{name}: must be a list of texts, not {value!r}" for name, value in _vectors(spec)]
    found += _choice_problems(spec) + _port_problems(spec) + _mount_problems(spec) + _text_map_problems(spec)
    return found


def _vectors(spec: ContainerSpec) -> list[tuple[str, Any]]:
    vectors = [("command", spec.command), ("entrypoint", spec.entrypoint or [])]
    return [
        (name, value)
        for name, value in vectors
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value)
    ]


def _choice_problems(spec: ContainerSpec) -> list[str]:
    found = []
    if spec.gpus not in ("all", None):
        found.append(f'gpus={spec.gpus!r}: must be "all" or null')
    if spec.ipc not in ("host", None):
        found.append(f'ipc={spec.ipc!r}: must be "host" or null')
    if spec.network not in ("host", None):
        found.append(f'network={spec.network!r}: must be "host" or null')
    if not isinstance(spec.devices, list) or any(path != RDMA_DEVICES for path in spec.devices):
        found.append(f"devices={spec.devices!r}: only {RDMA_DEVICES} may be handed in")
    if spec.user not in ("agent", None):
        found.append(f'user={spec.user!r}: must be "agent" or null')
    if spec.probe.kind not in ("openai", "ollama", "http", "none"):
        found.append(f"probe kind={spec.probe.kind!r}: must be openai, ollama, http or none")
    return found


def _port_problems(spec: ContainerSpec) -> list[str]:
    return [
        f"port {port!r}: must be a whole number from 1 to 65535"
        for published in spec.ports
        for port in (published.container, published.host)
        if not isinstance(port, int) or not 1 <= port <= 65535
    ]


def _mount_problems(spec: ContainerSpec) -> list[str]:
    found = [
        f"mount {path!r}: must be an absolute path"
        for mount in spec.mounts
        for path in (mount.source, mount.target)
        if not isinstance(path, str) or not path.startswith("/")
    ]
    found += [
        f"secret file {name!r}: must be a plain file name below the secrets folder"
        for name in (*spec.secret_env.values(), *spec.secret_exports.values())
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name)
    ]
    return found


def _text_map_problems(spec: ContainerSpec) -> list[str]:
    found = [
        f"{name} {key!r}={value!r}: must be a text"
        for name, mapping in (("env", spec.env), ("labels", spec.labels))
        for key, value in mapping.items()
        if not isinstance(key, str) or not isinstance(value, str)
    ]
    found += [
        f"secret variable {name!r}: must be letters, digits and underscores"
        for name in (*spec.secret_env, *spec.secret_exports)
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    ]
    return found
