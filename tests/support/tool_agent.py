"""An agent that runs no tools but speaks as one: takes jobs from its queue, streams, tells facts, reports.

What a job does is its code: `print(1)` ends at once; `wait` goes on until it is cancelled or `finish` is
called; `silent` is taken, and nothing is ever told of it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import orjson
import redis

from sandbox_app.job import Ending, Job, job_read
from sparkweb.node_link.envelope import envelope_seal
from sparkweb.node_link.http_client import WebClient
from sparkweb.node_link.journal import Journal
from sparkweb.node_link.sender import JournalSender
from sparkweb.node_link.signatures import Signer
from sparkweb.streams import Streams, StreamsDown

IMAGE = "sparkweb-sandbox:1"


class ToolAgent:
    """One node, in threads of the test."""

    def __init__(self, name: str, folder: Path, key_file: Path, redis_url: str, web_url: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.redis_url = redis_url
        self.streams = Streams(redis_url)
        self.journal = Journal(folder / "journal.sqlite3")
        self.signer = Signer.load(key_file, name)
        self.sender = JournalSender(self.journal, self.streams, self.signer)
        self.web = WebClient(web_url, self.signer)
        self.jobs: dict[str, Job] = {}
        self.cancelled: dict[str, str] = {}
        self.taken: list[str] = []  # each nudge sandbox.run, also repeated ones
        self._boot, self._sequence = str(uuid.uuid4()), 0
        self._stopped, self._held = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._consume, self._report)]

    def start(self) -> ToolAgent:
        self.sender.start()
        for thread in self._threads:
            thread.start()
        return self

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(10)
        self.sender.close()
        self.journal.close()
        self.web.close()
        self.streams.close()

    def hold(self) -> None:
        """Take no nudge until `go_on`; returns once none is waited for any more."""
        self._idle.clear()
        self._held.set()
        assert self._idle.wait(60)

    def go_on(self) -> None:
        self._held.clear()

    # What it says of runs -----------------------------------------------------------

    def out(self, run: str, text: str, fd: int = 1) -> None:
        self._append(
            run, {"kind": "out", "fd": fd, "data": base64.b64encode(text.encode()).decode(), "at": 0}
        )

    def finish(self, run: str, outcome: str = "ok", *, stream: bool = True, **fields: Any) -> None:
        """Tell the end of a run, once: on its stream, and as a fact."""
        job = self.jobs.pop(run, None)
        if job is None:
            return
        ending = Ending(run, job.generation, outcome, **fields).to_json()
        if stream:
            self._append(run, {"kind": "end", "ending": ending})
        self.journal.add("tool_run_ended", ending)

    def _append(self, run: str, entry: dict[str, Any]) -> None:
        with contextlib.suppress(StreamsDown):
            self.streams.append(f"tool:{self.name}:{run}", entry)

    def _began(self, job: Job) -> None:
        if job.run in self.jobs or job.run in self.cancelled:
            return
        self.jobs[job.run] = job
        self.journal.add("tool_run_began", {"run": job.run, "generation": job.generation, "warm": True})
        code = (job.arguments or {}).get("code", "")
        if code == "print(1)":
            self.out(job.run, "1\n")
            self.finish(job.run, stdout="1\n", stdout_bytes=2, exit_code=0, duration_ms=1.0)
        elif code != "silent":
            self.out(job.run, "begins\n")

    # Its threads ----------------------------------------------------------------------

    def _consume(self) -> None:
        client = redis.Redis.from_url(self.redis_url)
        while not self._stopped.is_set():
            if self._held.is_set():
                self._idle.set()
                time.sleep(0.05)
                continue
            try:
                found: Any = client.brpop([f"sparkweb:node.{self.name}"], timeout=1)
            except redis.RedisError:
                time.sleep(0.1)
                continue
            if found:
                message = json.loads(found[1])
                self._obey(message["headers"]["task"], json.loads(base64.b64decode(message["body"]))[1])

    def _obey(self, task: str, told: dict[str, Any]) -> None:
        if task == "sandbox.run":
            job = job_read(told["job"])
            self.taken.append(job.run)
            self._began(job)
        elif task == "sandbox.cancel":
            known = told["run"] in self.jobs
            self.cancelled[told["run"]] = told["reason"]
            if known:
                self.finish(told["run"], "cancelled", reason=told["reason"])

    def _report(self) -> None:
        while not self._stopped.wait(0.2):
            runs = [
                {"run": job.run, "generation": job.generation, "phase": "running"}
                for job in list(self.jobs.values())
            ]
            sandbox = {"image": {"name": IMAGE, "status": "ok"}, "runtimes": ["runc"], "runs": runs}
            report = {"version": 1, "host": {"memory_available_bytes": 2**36}, "sandbox": sandbox}
            self._sequence += 1
            text = orjson.dumps(report).decode()
            sealed = envelope_seal(self.signer, "report", self._boot, self._sequence, text)
            with contextlib.suppress(StreamsDown):
                self.streams.append(f"report:{self.name}", sealed.to_data())
