"""Images of the engines besides vLLM, with one stand-in in all of them (engines_standin/engines.c).

They differ in what the real images put first: entrypoint, arguments, neither.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

import docker

from tests.support.images import ImageToolMissing, root_tree

_FOLDER = Path(__file__).parent
_SOURCES = [
    *sorted((_FOLDER / "engines_standin").glob("*")),
    _FOLDER / "engine_standin" / "http.c",
    _FOLDER / "engine_standin" / "http.h",
]
_LABEL = "sparkweb-test.made-from"
_PROGRAMS = (
    "usr/bin/python3",
    "usr/bin/trtllm-serve",
    "usr/bin/llama-server",
    "usr/bin/ollama",
    "usr/bin/start_server.sh",
    "usr/bin/anything",
)

# By engine: the image's own entrypoint and arguments.
_WORDS: dict[str, tuple[list[str], list[str]]] = {
    "sglang": ([], []),
    "trtllm": ([], []),
    "llamacpp": (["/usr/bin/llama-server"], []),
    "nim": ([], ["/usr/bin/start_server.sh"]),
    "ollama": (["/usr/bin/ollama"], ["serve"]),
    "custom": ([], ["/bin/sh"]),
}


def engine_image(engine: str) -> str:
    """The tag of an engine's stand-in image."""
    return f"sparkweb-test/engine-{engine}:latest"


def engine_images_build(docker_host: str) -> None:
    """Make the images that the engine of `docker_host` does not have yet."""
    client = docker.APIClient(base_url=docker_host, timeout=60)
    try:
        missing = [engine for engine in _WORDS if not _is_made(client, engine)]
        if missing:
            binary = _compile()
            tree = root_tree(dict.fromkeys(_PROGRAMS, binary))
            for engine in missing:
                _import(client, engine, tree)
    finally:
        client.close()


def _is_made(client: docker.APIClient, engine: str) -> bool:
    with contextlib.suppress(docker.errors.ImageNotFound):
        labels = client.inspect_image(engine_image(engine))["Config"]["Labels"] or {}
        return labels.get(_LABEL) == _digest()
    return False


def _import(client: docker.APIClient, engine: str, tree: bytes) -> None:
    entrypoint, arguments = _WORDS[engine]
    changes = ["ENV PATH=/usr/bin:/bin", f"LABEL {_LABEL}={_digest()}"]
    changes += [f"ENTRYPOINT {json.dumps(entrypoint)}"] if entrypoint else []
    changes += [f"CMD {json.dumps(arguments)}"] if arguments else []
    repository, _, tag = engine_image(engine).partition(":")
    client.import_image_from_data(tree, repository=repository, tag=tag, changes=changes)


def _compile() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "engines"
        sources = [str(path) for path in _SOURCES if path.suffix == ".c"]
        options = ["-O2", "-static", "-pthread", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
        try:
            subprocess.run(["gcc", *options, "-o", str(binary), *sources], check=True)
        except FileNotFoundError:
            raise ImageToolMissing("gcc is not installed (apt-get install gcc libc6-dev)") from None
        return binary.read_bytes()


def _digest() -> str:
    digest = hashlib.sha256()
    for path in [Path(__file__), _FOLDER / "images.py", *_SOURCES]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
