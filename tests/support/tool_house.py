"""Web and control as they are, with a node that speaks as one and runs no tools."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from typing import Any

from tests.support.stack import wait_for
from tests.support.tool_agent import ToolAgent
from tests.support.web import ROOT, WebProcess

PATH = "/api/execute/code_execution"


class House:
    """Web, control and one node."""

    def __init__(self) -> None:
        self.web = WebProcess(SPARKWEB_SANDBOX_USER_RUNS="64", SPARKWEB_SANDBOX_NODE_RUNS="64").start()
        self.key = self.web.key("read", "operate", "admin")
        data = self.web.folder / "data"
        self.agent = ToolAgent(
            "spark-1",
            self.web.folder / "agent",
            data / "agent" / "spark-1" / "node.key",
            self.web.redis.url,
            f"http://{self.web.host}",
        ).start()
        self.control: subprocess.Popen[bytes] | None = None
        self.control_start()
        wait_for(self.online, "the node is online")
        assert self.call("PATCH", "/api/tools/code_execution", {"parallel": 64})[0] == 200

    def online(self) -> bool:
        return bool(self.call("GET", "/api/nodes/spark-1")[1].get("status") == "online")

    def control_start(self) -> None:
        log = (self.web.folder / "control.log").open("ab")
        command = [sys.executable, "manage.py", "control"]
        self.control = subprocess.Popen(command, cwd=ROOT, env=self.web.environment, stdout=log, stderr=log)

    def control_kill(self) -> None:
        assert self.control
        self.control.send_signal(signal.SIGKILL)
        self.control.wait(60)

    def close(self) -> None:
        self.agent.close()
        self.control_kill()
        self.web.close()

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.web.call(method, path, self.key, body)

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPConnection:
        """Send a request and leave its connection open."""
        connection = http.client.HTTPConnection(self.web.host, timeout=120)
        headers |= {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection

    def execute(self, code: str, **body: Any) -> http.client.HTTPConnection:
        return self.open("POST", PATH, {"args": {"code": code}, **body})

    def running(self, count: int = 1) -> list[str]:
        """Uids of the runs that the node has, once it has so many."""
        wait_for(lambda: len(self.agent.jobs) >= count, f"{count} runs are under way")
        return list(self.agent.jobs)

    def run(self, uid: str) -> dict[str, Any]:
        status, run = self.call("GET", f"/api/runs/{uid}")
        assert status == 200, run
        return run

    def ended(self, uid: str) -> dict[str, Any]:
        return wait_for(lambda: (run := self.run(uid))["state"] == "ended" and run, f"{uid} ends")  # type: ignore[no-any-return]
