"""The real supervisor and a real Redis around services of the test's choice, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import redis

from sparkweb.installation import redis_socket
from tests.support.stack import REPOSITORY, free_port, wait_for

WEB = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404); self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", {port}), Answer).serve_forever()
"""
SLEEPER = "import time; print('{word}', flush=True); time.sleep(3600)"
STUBBORN = """
import signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sleeper = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"
child = subprocess.Popen([sys.executable, "-c", sleeper])
print("grandchild", child.pid, flush=True)
time.sleep(3600)
"""
TELL_ENVIRONMENT = "import os, json, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(3600)"
NO_OP = "pass"


class Up:
    """One supervisor as a process, and what it told the terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.host = "127.0.0.1"
        self.redis_url: str | None = None
        self.prepare = NO_OP
        self.prepared_for: str | None = None
        self.services = {"web": WEB.format(port=self.port)}
        self.environment: dict[str, str] = {}
        self.output = folder / "terminal.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Up:
        python = [sys.executable, "-c"]
        told: dict[str, Any] = {
            "data_dir": str(self.data),
            "host": self.host,
            "port": self.port,
            "redis_url": self.redis_url,
            "prepare": [*python, self.prepare],
            "prepared_for": self.prepared_for,
            "services": {name: [*python, code] for name, code in self.services.items()},
        }
        config = self.folder / "house.json"
        config.write_text(json.dumps(told))
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fake_house", str(config)],
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"], **self.environment},
                start_new_session=True,
            )
        return self

    def ready(self) -> Up:
        wait_for(lambda: "SparkWeb is ready at" in self.text(), "ready", 20)
        return self

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def says(self, words: str, seconds: float = 20) -> str:
        wait_for(lambda: words in self.text(), f"{words!r} on the terminal of:\n{self.text()}", seconds)
        return self.text()

    def log(self, name: str) -> str:
        path = self.data / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def children(self) -> list[psutil.Process]:
        assert self.process
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, words: str) -> psutil.Process:
        def find() -> psutil.Process | None:
            return next((c for c in self.children() if words in " ".join(c.cmdline())), None)

        return wait_for(find, f"a child with {words!r}", 20)

    def redis(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(redis_socket(self.data)), decode_responses=True)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process
        self.process.send_signal(number)

    def ends(self, seconds: float = 60.0) -> int:
        """Its exit status, once it has ended."""
        assert self.process
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            for process in [*self.children(), psutil.Process(self.process.pid)]:
                process.kill()
            self.process.wait(10)
