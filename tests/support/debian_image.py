"""A Debian base image for tests, made by debootstrap and `docker import`: there is no registry here."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import docker

TAG = "sparkweb-test/debian:bookworm"
SUITE = "bookworm"


class DebootstrapMissing(RuntimeError):
    """debootstrap is not installed, or this is not root."""


def debian_image(docker_host: str) -> str:
    """Make the image unless the engine has it; its tag. Its packages come from where this machine's do."""
    client = docker.APIClient(base_url=docker_host, timeout=300)
    try:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.inspect_image(TAG)
            return TAG
        repository, _, version = TAG.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "root.tar"
            _tree_make(Path(folder) / "root", tree)
            client.import_image_from_file(str(tree), repository=repository, tag=version)
    finally:
        client.close()
    return TAG


def _tree_make(root: Path, packed: Path) -> None:
    program = shutil.which("debootstrap")
    if program is None:
        raise DebootstrapMissing("debootstrap is not installed (apt-get install debootstrap)")
    made = subprocess.run([program, "--variant=minbase", SUITE, str(root)], capture_output=True, text=True)
    if made.returncode:
        raise DebootstrapMissing(f"debootstrap failed: {(made.stdout + made.stderr)[-500:]}")
    subprocess.run(["tar", "-C", str(root), "-cf", str(packed), "."], check=True)
