"""One run on this node, from the job to its end in the journal."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import structlog

from sandbox_app.job import Ending, Job
from sandbox_app.node import frames
from sandbox_app.node.artifacts import Collector
from sandbox_app.node.container import Said, SandboxContainer, Stop
from sandbox_app.node.endings import Evidence, judge, plain
from sandbox_app.node.limits import ARTIFACT_BYTES, ARTIFACTS_MOST
from sandbox_app.node.output import HEAD_BYTES, TAIL_BYTES, Output, Streamer
from sparkweb.adapters.docker_errors import DockerTrouble

log = structlog.get_logger(__name__)

# A fact may have 255 kB when it is sent, with every quote and control character escaped.
ENDING_MOST_BYTES = 240 * 1024


@dataclass
class LiveRun:
    """A run that this agent has taken on."""

    job: Job
    streamer: Streamer
    stop: Stop = field(default_factory=Stop)
    phase: str = "waiting"
    container: SandboxContainer | None = None
    began_at: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)
    guardian: str = ""
    """What the memory guardian did to it, as a sentence."""


@dataclass
class Desk:
    """What a run needs of its node: where its files lie, and who tells facts."""

    spool: Path
    uploads: Path
    tell: Callable[[str, dict[str, Any]], None]
    ask_guardian: Callable[[], None] = lambda: None


class RunInContainer:
    """The work on one job in one container."""

    def __init__(self, live: LiveRun, container: SandboxContainer, warm: bool, desk: Desk) -> None:
        self._live = live
        self._job = live.job
        self._container = container
        self._warm = warm
        self._desk = desk
        self._streamer = live.streamer
        self._outputs = {
            frames.STDOUT: Output(desk.spool / f"{self._job.run}.1"),
            frames.STDERR: Output(desk.spool / f"{self._job.run}.2"),
        }
        self._collector = Collector(desk.uploads, self._job.run, ARTIFACTS_MOST + 3, 2 * ARTIFACT_BYTES)
        self._result = b""

    def work(self, arguments: bytes, in_session: bool) -> tuple[Ending, Said]:
        """Have it done. The end is neither told nor streamed yet."""
        job, policy = self._job, self._job.policy
        order = {
            "program": f"/tool/{job.program}",
            "session": in_session,
            "timeout_seconds": policy.timeout_seconds,
            "cpu_seconds": policy.cpu_seconds,
            "workspace": bool(self._container.limits["workspace"]),
            "artifacts_most": ARTIFACTS_MOST,
        }
        said = self._container.exchange(
            order, arguments, self._listen, self._live.stop, policy.timeout_seconds
        )
        return self._ending(said), said

    def began(self) -> None:
        """Tell that it is in the container's hands."""
        self._desk.tell(
            "tool_run_began",
            {
                "run": self._job.run,
                "generation": self._job.generation,
                "container_id": self._container.id,
                "image_digest": self._container.image,
                "limits": self._container.limits,
                "warm": self._warm,
            },
        )

    def _listen(self, frame: frames.Frame) -> str:
        if output := self._outputs.get(frame.kind):
            output.add(frame.payload)
            self._streamer.output(int(frame.kind), frame.payload)
            total = sum(one.total_bytes for one in self._outputs.values())
            return "output" if total > self._job.policy.output_bytes else ""
        if frame.kind == frames.RESULT:
            self._result = frame.payload
        elif frame.kind == frames.ARTIFACT:
            self._collector.begin(frame.payload)
        elif frame.kind == frames.ARTIFACT_DATA:
            self._collector.data(frame.payload)
        return ""

    def _ending(self, said: Said) -> Ending:
        self._collector.finish()
        stdout, stderr = self._outputs[frames.STDOUT], self._outputs[frames.STDERR]
        verdict = judge(self._evidence(said, stderr), self._job.policy)
        for kind, name, output in (("stdout", "stdout", stdout), ("stderr", "stderr", stderr)):
            if output.keep():
                self._output_keep(kind, name, output)
        if verdict.large_result:
            self._large_result_keep(verdict.large_result)
        told = said.told or {}
        ending = Ending(
            run=self._job.run,
            generation=self._job.generation,
            outcome=verdict.outcome,
            reason=verdict.reason,
            exit_code=verdict.exit_code,
            signal=verdict.signal,
            stdout_bytes=stdout.total_bytes,
            stderr_bytes=stderr.total_bytes,
            truncated=stdout.is_truncated or stderr.is_truncated,
            result=verdict.result,
            container_id=self._container.id,
            image_digest=self._container.image,
            limits=self._container.limits,
            artifacts=self._collector.told(),
            duration_ms=round(told.get("ms") or said.seconds * 1000, 3),
            cpu_ms=told.get("cpu_ms"),
            memory_peak_bytes=told.get("memory_peak_bytes") or told.get("rss_peak_bytes"),
            warm=self._warm,
        )
        return ending_fit(ending, stdout, stderr)

    def _evidence(self, said: Said, stderr: Output) -> Evidence:
        asked = {}
        if said.told is None:
            self._desk.ask_guardian()
            asked = self._asked()
        return Evidence(
            cause=said.cause,
            reason=said.reason,
            told=said.told,
            guardian=self._live.guardian,
            stderr=stderr.text().encode()[-4096:],
            result=self._result,
            **asked,
        )

    def _asked(self) -> dict[str, Any]:
        """What the engine says of a container whose keeper fell silent."""
        try:
            state = self._container.engine.sandbox_state(self._container.id)
        except DockerTrouble as trouble:
            return {"engine": str(trouble)}
        words = f"Its container was ended from outside (exit code {state.exit_code}). {state.error}".strip()
        return {"oom_killed": state.oom_killed, "container": words if state.status != "running" else ""}

    def _output_keep(self, kind: str, name: str, output: Output) -> None:
        place = self._desk.uploads / f"{self._job.run}-{name}"
        output.spool.rename(place)
        self._collector.add(
            kind, name, "text/plain" if output.is_truncated else "application/octet-stream", place,
            output.total_bytes, output.sha256,
        )  # fmt: skip

    def _large_result_keep(self, data: bytes) -> None:
        self._collector.begin(json.dumps({"name": "result.json"}).encode())
        self._collector.data(data)
        self._collector.finish()


def ending_fit(ending: Ending, stdout: Output, stderr: Output) -> Ending:
    """With as much of the outputs as a fact takes: both whole heads and tails, or less of each."""
    head, tail = HEAD_BYTES, TAIL_BYTES
    while True:
        full = replace(ending, stdout=stdout.text(head, tail), stderr=stderr.text(head // 2, tail // 2))
        size = len(orjson.dumps(orjson.dumps(full.to_json(), default=str).decode()))
        if size <= ENDING_MOST_BYTES:
            return full
        if head <= 256:
            return replace(full, result=None, stdout="", stderr="", artifacts=full.artifacts[:20])
        head, tail = head * 3 // 4, tail * 3 // 4
        ending = replace(ending, truncated=True)


def ending_bounded(ending: Ending) -> Ending:
    """The end of a run on the node itself as a fact takes it: plain JSON, and no more of it than fits."""
    ending = Ending(**plain(ending.to_json()))
    while len(orjson.dumps(orjson.dumps(ending.to_json()).decode())) > ENDING_MOST_BYTES:
        if max(len(ending.stdout), len(ending.stderr)) > 256:
            ending = replace(ending, stdout=_less(ending.stdout), stderr=_less(ending.stderr), truncated=True)
        elif ending.result is not None:
            ending = replace(ending, result=None)
        else:
            return replace(ending, egress=ending.egress[:10], artifacts=[])
    return ending


def _less(text: str) -> str:
    return text[: len(text) * 3 // 4] if len(text) > 256 else text
