"""What control asks of a node for one run, and what the node tells of it. Pure: both sides import it.

A job travels as JSON in the nudge `sandbox.run`. The end of a run travels as the fact
`tool_run_ended`, and, sooner, as the last entry of the stream `tool:<node>:<run>`
(docs/sandbox-protocol.md).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# Arguments up to this size travel in the nudge; larger ones the node fetches from web.
INLINE_ARGUMENTS_BYTES = 64 * 1024
ARGUMENTS_MOST_BYTES = 4 * 1024 * 1024
# User and group of everything in a container of ours, and owner of a session's files. No such user
# exists on the host, and none of an image has its rights.
SANDBOX_UID = 10_001

Runner = Literal["container", "host"]

OUTCOMES = (
    "ok",  # exit code 0, and a result that the tool's schema takes where it has one
    "exit",  # another exit code
    "signal",  # killed by a signal that was not ours
    "wall",  # its time was over
    "cpu",  # its CPU seconds were used up
    "memory",  # the kernel killed it for its memory limit
    "pids",  # it asked for more processes than it may have, and failed
    "disk",  # it filled its disk or temporary space, and failed
    "output",  # it wrote more than may be kept
    "cancelled",  # somebody ended it
    "refused",  # it was not started: limits that do not hold, an image that is missing, a tool that changed
    "engine",  # Docker failed
    "lost",  # its node or agent went away, and it is not known how it ended
)


class JobInvalid(ValueError):
    """A job that this agent cannot read; it may come from another version."""


@dataclass(frozen=True)
class Policy:
    """Everything that bounds a run. Pools are keyed by all of it, so it holds nothing of one run.

    `egress` names hosts that a host runner may reach ([] for a container: it has no network).
    `flavour` says what the waiting interpreter has imported: "plain" or "data".
    """

    image: str
    timeout_seconds: int = 30
    memory_bytes: int = 256 * 2**20
    cpu_percent: int = 100
    cpu_seconds: int = 60
    pids: int = 64
    files_open: int = 256
    file_bytes: int = 64 * 2**20
    tmp_bytes: int = 64 * 2**20
    output_bytes: int = 8 * 2**20
    read_only: bool = True
    workspace: bool = False
    runtime: str = ""  # "" the engine's own, "runsc" gVisor (refused where the node has none), "crun"
    flavour: str = "plain"
    egress: tuple[str, ...] = ()

    def key(self) -> str:
        """16 hex digits of all that is in it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SessionJob:
    """The session that a run belongs to: its one container and workspace serve nobody else."""

    uid: str
    size_bytes: int
    inodes: int
    idle_seconds: int
    generation: int = 1


@dataclass(frozen=True)
class Job:
    """One run. `arguments` is None where the node must fetch them from web (their digest is given).

    `program` is the runner's path within the tool's folder, or the name of a runner on the host.
    """

    run: str
    generation: int
    installation: str
    node: str
    tool: str
    tool_digest: str
    runner: Runner
    program: str
    policy: Policy
    arguments: dict[str, Any] | None
    arguments_digest: str
    session: SessionJob | None = None
    ttl_seconds: int = 30

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        return asdict(self)


def job_read(data: Any) -> Job:
    """The job of a nudge. Raises JobInvalid."""
    try:
        fields = dict(data)
        policy = dict(fields.pop("policy"))
        policy["egress"] = tuple(policy.get("egress", ()))
        session = fields.pop("session", None)
        return Job(
            **fields,
            policy=Policy(**policy),
            session=SessionJob(**session) if session else None,
        )
    except (TypeError, ValueError, KeyError) as error:
        raise JobInvalid(f"the job cannot be read: {error}") from None


def arguments_digest(arguments: dict[str, Any]) -> str:
    """SHA-256 of the arguments as canonical JSON, hex."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Ending:
    """How a run ended: the fact `tool_run_ended`, and the `end` entry of its stream.

    `stdout` and `stderr` are head and tail where it was long (`stdout_bytes` says how much
    there was); the whole is an artifact then. `result` is what a tool returned beside its output,
    `limits` what was read back from the engine before the run, `egress` each verdict of a fetch.
    """

    run: str
    generation: int
    outcome: str
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    result: Any = None
    container_id: str | None = None
    image_digest: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    egress: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    duration_ms: float | None = None
    cpu_ms: float | None = None
    memory_peak_bytes: int | None = None
    warm: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        return asdict(self)
