"""What the tests of web_fetch and web_search share: a run of a host runner over a test's own sites."""

from __future__ import annotations

import threading
from typing import Any

from sandbox_app.job import Ending, Job, Policy
from sandbox_app.node.host_runners import HostRunners
from sandbox_app.node.searxng import Searxng
from sparkweb.adapters.egress import Egress
from sparkweb.adapters.egress_rules import Address, address_read, policy_make


def job_of(tool: str, **policy: Any) -> Job:
    policy.setdefault("egress", ("*",))
    return Job(
        run="0123456789abcdef",
        generation=1,
        installation="00000000",
        node="spark-1",
        tool=tool,
        tool_digest="",
        runner="host",
        program=tool,
        policy=Policy(image="", **policy),
        arguments=None,
        arguments_digest="",
    )


def lookup(host: str, port: int) -> list[Address]:
    """Names below .example lead to this machine; addresses to themselves."""
    return [address_read("127.0.0.1" if host.endswith(".example") else host)]


class Tools:
    """Runners over a client that may reach 127.0.0.1 at these ports."""

    def __init__(self, *ports: int, searxng_url: str = "http://127.0.0.1:1") -> None:
        self.egress = Egress(policy_make(ports=ports, networks=["127.0.0.1/32"]), (), lookup)
        self.searxng = Searxng(searxng_url)
        self.runners = HostRunners(self.egress, self.searxng)
        self.cancelled = threading.Event()
        self.streamed: dict[int, bytes] = {1: b"", 2: b""}

    def __call__(self, tool: str, policy: dict[str, Any] | None = None, **arguments: Any) -> Ending:
        run = self.runners.runner(tool)
        assert run
        self.streamed = {1: b"", 2: b""}
        ending = run(job_of(tool, **(policy or {})), arguments, self, self.cancelled)
        assert self.streamed == {1: ending.stdout.encode(), 2: ending.stderr.encode()}
        return ending

    def output(self, fd: int, data: bytes) -> None:
        self.streamed[fd] += data

    def close(self) -> None:
        self.egress.close()
        self.searxng.close()
