"""An image to run tools in, made of this machine's own programs: no registry, no network.

    tag = sandbox_image(docker_host)

Python with its standard library and numpy, pandas and matplotlib (pinned in
requirements-dev.txt), bash, the usual text tools, and node where there is one.
`python -m tests.support.sandbox_image` makes it in the engine of DOCKER_HOST.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker

TAG = "sparkweb-test/sandbox:latest"

_LABEL = "sparkweb-test.made-from"
_PACKAGES = ("numpy", "pandas", "matplotlib")
_PROGRAMS = """
    bash sh cat cp cut chmod date dd df du echo env false find grep head id kill ln ls mkdir mkfifo mount mv
    nice ps printf pwd readlink rm sed seq setsid sleep sort stat tail tee timeout touch tr true uname
    uniq unshare wc xargs yes awk gzip tar node"""
_LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|lib2to3|ensurepip|tkinter|turtledemo|__pycache__|site-packages|dist-packages)(/|$)"
    r"|/config-3[^/]*(/|$)|\.(a|pyi|pyx|pxd|h|c)$"
)


def sandbox_image(docker_host: str) -> str:
    """Make the image unless the engine has it; its tag."""
    client = docker.APIClient(base_url=docker_host, timeout=120)
    try:
        made_from = _source_digest()
        with contextlib.suppress(docker.errors.ImageNotFound):
            labels = client.inspect_image(TAG)["Config"]["Labels"] or {}
            if labels.get(_LABEL) == made_from:
                return TAG
        repository, _, version = TAG.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "root.tar"
            _tree_write(tree)
            client.import_image_from_file(
                str(tree),
                repository=repository,
                tag=version,
                changes=["ENV PATH=/usr/local/bin:/usr/bin:/bin", f"LABEL {_LABEL}={made_from}"],
            )
    finally:
        client.close()
    return TAG


def _tree_write(path: Path) -> None:
    with tarfile.open(path, "w") as tree:
        made: set[str] = set()
        for folder in ("tmp", "artifacts", "workspace", "tool", "sparkweb", "proc", "sys", "dev"):
            _folder_add(tree, folder, made)
        for link, target in (("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")):
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tree.addfile(entry)
        accounts = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n"
        _text_add(tree, "etc/passwd", accounts, made)
        _text_add(tree, "etc/group", b"root:x:0:\nnogroup:x:65534:\n", made)
        files = dict(_files())
        compiled = _compiled()
        for target, source in sorted(files.items()):
            _file_add(tree, target, source, made)
            if found := compiled.get(str(source)):
                _file_add(tree, f"{Path(target).parent}/__pycache__/{found.name}", found, made)


def _files() -> Iterator[tuple[str, Path]]:
    """Pairs of a path in the image and a file of this machine."""
    binaries: list[Path] = []
    for name in _PROGRAMS.split():
        found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        if found:
            yield f"usr/bin/{name}", Path(found).resolve()
            binaries.append(Path(found).resolve())
    base = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = (base / "bin" / version).resolve()
    yield f"usr/local/bin/{version}", interpreter
    yield "usr/local/bin/python3", interpreter
    binaries.append(interpreter)
    library = Path(sysconfig.get_path("stdlib"))
    inside = f"usr/local/lib/{version}"
    yield from _below(library, inside)
    binaries += list((library / "lib-dynload").glob("*.so"))
    for target, source in _packages():
        # Debian's Python looks into dist-packages, others into site-packages.
        for folder in ("site-packages", "dist-packages") if _is_debian() else ("site-packages",):
            yield f"{inside}/{folder}/{target}", source
        if ".so" in source.name:
            binaries.append(source)
    yield from _libraries(binaries)


def _is_debian() -> bool:
    return sys.base_prefix == "/usr"


def _below(folder: Path, inside: str) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        relative = f"/{path.relative_to(folder)}"
        if path.is_file() and not _LEFT_OUT.search(relative):
            yield inside + relative, path


def _packages() -> Iterator[tuple[str, Path]]:
    """The files of numpy, pandas, matplotlib and what they need."""
    waiting, seen = list(_PACKAGES), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        needs = [need for need in package.requires or [] if "extra ==" not in need]
        waiting += [re.split(r"[^A-Za-z0-9._-]", need)[0] for need in needs]
        for file in package.files or []:
            text = str(file)
            if not text.startswith("..") and not _LEFT_OUT.search(f"/{text}"):
                source = Path(str(file.locate()))
                if source.is_file():
                    yield text, source


def _compiled() -> dict[str, Path]:
    """By source: the compiled files of what is imported most. Importing leaves them beside the sources."""
    words = "import sys, ast, ctypes, socket, sqlite3, subprocess, tempfile, numpy, pandas\n"
    words += "print('\\n'.join(str(getattr(one, '__file__', '')) for one in list(sys.modules.values())))"
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False).stdout
    sources = [line for line in told.splitlines() if line.endswith(".py")]
    found = {source: Path(importlib.util.cache_from_source(source)) for source in sources}
    return {source: path for source, path in found.items() if path.is_file()}


def _libraries(binaries: list[Path]) -> Iterator[tuple[str, Path]]:
    """The shared libraries that these need, and the dynamic loader, where the loader looks for them."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    for line in set(told.splitlines()):
        name, _, found = line.strip().partition(" => ")
        path = found.split(" (")[0].strip()
        if found and path.startswith("/") and "site-packages" not in path:
            yield f"usr/lib/{name}", Path(path).resolve()
        elif name.startswith("/") and " (0x" in name:
            loader = name.split(" (")[0]
            yield f"usr{loader}" if not loader.startswith("/usr") else loader[1:], Path(loader).resolve()


def _folder_add(tree: tarfile.TarFile, name: str, made: set[str]) -> None:
    if not name or name == "." or name in made:
        return
    _folder_add(tree, str(Path(name).parent), made)
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    tree.addfile(entry)
    made.add(name)


def _file_add(tree: tarfile.TarFile, target: str, source: Path, made: set[str]) -> None:
    _folder_add(tree, str(Path(target).parent), made)
    entry = tarfile.TarInfo(target)
    entry.size, entry.mode = source.stat().st_size, source.stat().st_mode & 0o755
    entry.mtime = int(source.stat().st_mtime)  # or no compiled module would hold
    with source.open("rb") as file:
        tree.addfile(entry, file)


def _text_add(tree: tarfile.TarFile, target: str, text: bytes, made: set[str]) -> None:
    _folder_add(tree, str(Path(target).parent), made)
    entry = tarfile.TarInfo(target)
    entry.size, entry.mode = len(text), 0o644
    tree.addfile(entry, io.BytesIO(text))


def _source_digest() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(sys.version.encode())
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name}={importlib.metadata.version(name)}".encode())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    print(sandbox_image(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")))
