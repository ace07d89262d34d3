"""Two machines on one: network namespaces joined by a cable (veth), each with a Docker engine of its own.

    with Cable() as cable:                      # fab0 in both, 10.77.x.1 and 10.77.x.2, MTU 9000
        cable.ends[0].prefix                    # runs a command on that machine, with its own /sys
        cable.ends[0].engine.host               # its DOCKER_HOST; containers' host network is its network
        cable.ends[1].link("down")
    with Cable(engines=False, rails=2) as cable: # fab1 too, 10.78.x.1 and 10.78.x.2

Needs root, iproute2 and nsenter.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.dockerd import Dockerd

INTERFACE = "fab0"
TWIN = "fab1"
MTU = 9000


class NamespaceDockerd(Dockerd):
    """A dockerd whose host network is a namespace. It keeps this machine's /sys: cgroups are there."""

    def __init__(self, folder: Path, namespace: str) -> None:
        super().__init__(folder)
        self.namespace = namespace

    def _make_bridge(self) -> None:
        """Containers of these tests use the host's network, so there is no bridge."""

    def _command(self) -> list[str]:
        plain = [word for word in super()._command() if not word.startswith("--bridge=")]
        return ["nsenter", f"--net=/var/run/netns/{self.namespace}", *plain, "--bridge=none"]


class End:
    """One machine at an end of the cable."""

    def __init__(self, namespace: str, address: str, folder: Path) -> None:
        self.namespace = namespace
        self.address = address
        self.twin_address = address.replace("10.77.", "10.78.", 1)
        self.prefix = ["ip", "netns", "exec", namespace]
        self.engine = NamespaceDockerd(folder, namespace)

    def link(self, *words: str, interface: str = INTERFACE) -> None:
        """Set something of the cable's end: `up`, `down`, or `mtu`, `1500`."""
        _ip("-n", self.namespace, "link", "set", interface, *words)

    def run(self, *words: str) -> None:
        """Run a command on that machine. Raises CalledProcessError."""
        subprocess.run([*self.prefix, *words], check=True, capture_output=True, text=True)


class Cable:
    """Both ends, with their engines started; with two rails a second cable beside the first."""

    def __init__(self, *, engines: bool = True, rails: int = 1) -> None:
        self._engines = engines
        self._interfaces = (INTERFACE, TWIN)[:rails]
        self.folder = Path(tempfile.mkdtemp(prefix="fabric-"))
        mark = self.folder.name.removeprefix("fabric-")
        network = f"10.77.{random.SystemRandom().randrange(1, 255)}"
        self.ends = [
            End(f"sw-{mark}-{place}", f"{network}.{place}", self.folder / f"engine-{place}")
            for place in (1, 2)
        ]

    def __enter__(self) -> Cable:
        try:
            for end in self.ends:
                _ip("netns", "add", end.namespace)
            for end in self.ends:
                _ip("-n", end.namespace, "link", "set", "lo", "up")
            for interface in self._interfaces:
                self._join(interface)
            for end in self.ends if self._engines else ():
                end.engine.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _join(self, interface: str) -> None:
        first, second = self.ends
        _ip(
            *("-n", first.namespace, "link", "add", interface, "type", "veth"),
            *("peer", "name", interface, "netns", second.namespace),
        )
        for end in self.ends:
            address = end.address if interface == INTERFACE else end.twin_address
            _ip("-n", end.namespace, "addr", "add", f"{address}/24", "dev", interface)
            end.link("mtu", str(MTU), interface=interface)
            end.link("up", interface=interface)

    def close(self) -> None:
        for end in self.ends:
            if self._engines:
                with contextlib.suppress(OSError, subprocess.CalledProcessError):
                    end.engine.stop()
            subprocess.run(["ip", "netns", "delete", end.namespace], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
