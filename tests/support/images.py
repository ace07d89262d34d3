"""Images for tests, made here: there is no registry to pull from.

`python -m tests.support.images` makes them all in the engine of DOCKER_HOST
and prints their tags. Needs gcc and busybox-static.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import docker

STANDIN = "sparkweb-test/vllm-standin:latest"
"""Busybox with the engine stand-in as `vllm`; see engine_standin/vllm.c for its environment."""
BUSYBOX = "sparkweb-test/busybox:latest"

_LABEL = "sparkweb-test.made-from"
_SOURCES = Path(__file__).parent / "engine_standin"
_APPLETS = (
    "sh",
    "sleep",
    "cat",
    "echo",
    "ls",
    "env",
    "id",
    "printf",
    "seq",
    "yes",
    "kill",
    "wget",
    "nc",
    "true",
    "false",
)


class ImageToolMissing(RuntimeError):
    """gcc or busybox-static is not installed."""


def images_build(docker_host: str) -> list[str]:
    """Make every test image that the engine does not have yet; the tags."""
    client = docker.APIClient(base_url=docker_host, timeout=60)
    try:
        _build_missing(client, BUSYBOX, dict)
        _build_missing(client, STANDIN, lambda: {"usr/bin/vllm": standin_compile()})
    finally:
        client.close()
    return [BUSYBOX, STANDIN]


def standin_compile() -> bytes:
    """The engine stand-in as one static executable."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise ImageToolMissing("gcc is not installed (apt-get install gcc libc6-dev)")
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "vllm"
        sources = [str(path) for path in sorted(_SOURCES.glob("*.c"))]
        options = ["-O2", "-static", "-pthread", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
        subprocess.run([compiler, *options, "-o", str(binary), *sources], check=True)
        return binary.read_bytes()


def root_tree(programs: dict[str, bytes]) -> bytes:
    """A tar of a root file system: busybox, its applets, and the given programs by path."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise ImageToolMissing("busybox is not installed (apt-get install busybox-static)")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tree:
        for folder in ("bin", "usr", "usr/bin", "etc", "root", "run", "tmp", "models"):
            _add(tree, folder, tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        _add_file(tree, "bin/busybox", Path(busybox).read_bytes(), 0o755)
        for applet in _APPLETS:
            _add(tree, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        _add_file(
            tree, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", 0o644
        )
        for path, content in programs.items():
            _add_file(tree, path, content, 0o755)
    return buffer.getvalue()


def _build_missing(client: docker.APIClient, tag: str, programs: Callable[[], dict[str, bytes]]) -> None:
    made_from = _source_digest()
    with contextlib.suppress(docker.errors.ImageNotFound):
        labels = client.inspect_image(tag)["Config"]["Labels"] or {}
        if labels.get(_LABEL) == made_from:
            return
    repository, _, version = tag.partition(":")
    client.import_image_from_data(
        root_tree(programs()),
        repository=repository,
        tag=version,
        changes=["ENV PATH=/usr/bin:/bin", 'CMD ["/bin/sh"]', f"LABEL {_LABEL}={made_from}"],
    )


def _source_digest() -> str:
    digest = hashlib.sha256()
    for path in [Path(__file__), *sorted(_SOURCES.iterdir())]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _add(tree: tarfile.TarFile, name: str, kind: bytes, mode: int = 0o755, link: str = "") -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname = kind, mode, link
    tree.addfile(entry)


def _add_file(tree: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tree.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    for built in images_build(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")):
        print(built)
    sys.exit(0)
