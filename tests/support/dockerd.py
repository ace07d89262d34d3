"""A private Docker engine for tests: its own folder, socket, bridge and pid file.

    with Dockerd(folder) as engine:
        client = docker.DockerClient(engine.host)

and by hand, for script/test: `python -m tests.support.dockerd start DIR`
prints the DOCKER_HOST to use, `... stop DIR` ends it and removes what it left.
Needs root and Debian's or Ubuntu's docker.io.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import psutil

START_SECONDS = 60
STOP_SECONDS = 30


class DockerdUnavailable(RuntimeError):
    """The private engine cannot run here; the sentence says why."""


class Dockerd:
    """One dockerd below `folder`. `host` is its DOCKER_HOST."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        # A Unix socket path holds 107 bytes, and test folders are long.
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()
        self.runtime = Path("/tmp") / f"sparkweb-dockerd-{digest[:10]}"
        self.socket = self.runtime / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.pid_file = self.runtime / "dockerd.pid"
        self.log = self.folder / "dockerd.log"
        # Two engines on one machine need two bridges with two networks.
        self.bridge = f"swt{digest[:8]}"
        self.subnet = f"10.{200 + int(digest[8:10], 16) % 50}.{int(digest[10:12], 16)}.1/24"

    def start(self) -> Dockerd:
        """Start it and wait until it answers. Already running: nothing happens."""
        if self._answers():
            return self
        for program in ("dockerd", "containerd", "ip"):
            if not shutil.which(program):
                raise DockerdUnavailable(f"{program} is not installed (apt-get install docker.io iproute2)")
        if os.geteuid() != 0:
            raise DockerdUnavailable("a private dockerd needs root")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runtime.mkdir(mode=0o711, exist_ok=True)
        self._make_bridge()
        self._forget_dead_containerd()
        with self.log.open("ab") as log:
            subprocess.Popen(self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                             start_new_session=True)  # fmt: skip
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """Stop it and its containers, and remove its folders and bridge."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
            self._kill_containers()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self._wait_for_end(pid)
        self._kill_shims()
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True, check=False)
        self._unmount_leftovers()
        shutil.rmtree(self.runtime, ignore_errors=True)
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    @property
    def pid(self) -> int | None:
        """Its process id, None when it does not run."""
        try:
            pid = int(self.pid_file.read_text())
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        return pid

    def kill(self) -> None:
        """SIGKILL for it alone, as a crash: `start` brings it back with its containers and images."""
        self._signal(signal.SIGKILL)
        self._wait_for_end(self.pid or 0)

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and never answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        pid = self.pid
        if pid is None:
            raise DockerdUnavailable("dockerd does not run")
        os.kill(pid, number)

    def _command(self) -> list[str]:
        return [
            "dockerd",
            f"--data-root={self.folder / 'data'}",
            f"--exec-root={self.runtime / 'exec'}",
            f"--pidfile={self.pid_file}",
            f"--host={self.host}",
            f"--bridge={self.bridge}",
            # Engines of one machine share the chains of iptables, and each flushes them when it starts:
            # published ports go through docker-proxy instead.
            "--iptables=false",
            "--log-level=warn",
        ]

    def _make_bridge(self) -> None:
        made = subprocess.run(
            ["ip", "link", "add", self.bridge, "type", "bridge"], capture_output=True, check=False
        )
        if made.returncode == 0:
            subprocess.run(["ip", "addr", "add", self.subnet, "dev", self.bridge], check=True)
        subprocess.run(["ip", "link", "set", self.bridge, "up"], check=True)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise DockerdUnavailable(f"dockerd did not answer within {START_SECONDS} s:\n{tail}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self._request("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        try:
            connection.sock.connect(str(self.socket))
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _forget_dead_containerd(self) -> None:
        """A killed dockerd leaves its containerd's pid; a zombie of that pid would be waited for."""
        pid_file = self.runtime / "exec" / "containerd" / "containerd.pid"
        if pid_file.exists() and _is_zombie(int(pid_file.read_text())):
            pid_file.unlink()

    def _kill_shims(self) -> None:
        """Containers outlive an engine that was killed; their shims name its socket."""
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.runtime) in word for word in process.info["cmdline"] or []):
                with contextlib.suppress(psutil.NoSuchProcess):
                    for one in [*process.children(recursive=True), process]:
                        one.kill()

    def _kill_containers(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            _, listed = self._request("GET", "/containers/json?all=1")
            for container in json.loads(listed):
                with contextlib.suppress(OSError):
                    self._request("DELETE", f"/containers/{container['Id']}?force=1")

    def _wait_for_end(self, pid: int) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while self.pid == pid and not _is_zombie(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline += STOP_SECONDS
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)

    def _unmount_leftovers(self) -> None:
        ours = (f"{self.folder}/", f"{self.runtime}/")
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for target in reversed([path for path in mounted if path.startswith(ours)]):
            subprocess.run(["umount", "-l", target], capture_output=True, check=False)

    def __enter__(self) -> Dockerd:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in ("start", "stop"):
        print("usage: python -m tests.support.dockerd start|stop DIR", file=sys.stderr)
        return 2
    engine = Dockerd(Path(arguments[1]))
    try:
        if arguments[0] == "start":
            print(engine.start().host)
        else:
            engine.stop()
    except DockerdUnavailable as error:
        print(f"No private Docker engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
