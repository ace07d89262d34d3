"""The stand-in for `libnvidia-ml.so.1`: built once, loaded by the real pynvml.

A child process finds it through `LD_LIBRARY_PATH`; see `environment()`. The
machine it plays is named by a profile (the head of nvml_standin.c lists them)
and may change while the child runs, through `Control`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml_standin.c")
POLLER_SOURCE = Path(__file__).with_name("smi_standin.c")


def _compile(source: Path, name: str, flags: list[str]) -> Path:
    """Compile `source` into a folder named after its content, unless that was done before."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"sparkweb-nvml-{os.getuid()}-{digest}" / name
    if target.exists():
        return target
    target.parent.mkdir(mode=0o700, exist_ok=True)
    partial = target.with_name(f"{name}.{os.getpid()}")
    try:
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(partial), str(source), *flags],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise RuntimeError("gcc is not installed; the NVML stand-in needs it: apt-get install gcc") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{source.name} does not compile:\n{error.stderr}") from None
    partial.replace(target)
    return target


def build() -> Path:
    """Return the folder that holds the compiled `libnvidia-ml.so.1`."""
    flags = ["-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-soname,libnvidia-ml.so.1", "-lm"]
    return _compile(SOURCE, "libnvidia-ml.so.1", flags).parent


def build_poller() -> Path:
    """Return the compiled small nvidia-smi, which loads the library of `build()` when run."""
    return _compile(POLLER_SOURCE, "smi-standin", ["-ldl"])


def environment(profile: str, **variables: str) -> dict[str, str]:
    """Return this process's environment with the stand-in on the library path.

    `variables` are added as they are, for example `NVML_STANDIN_PIDS="12:1000"`.
    """
    return {**os.environ, "LD_LIBRARY_PATH": str(build()), "NVML_STANDIN_PROFILE": profile, **variables}


class Control:
    """A profile that changes while a reader runs: a small file read on every call."""

    def __init__(self, path: Path, profile: str, pids: str = "") -> None:
        self.path = path
        self.set(profile, pids)

    def set(self, profile: str, pids: str = "") -> None:
        """Play `profile` from the next call on, with processes `pids` ("pid:bytes,…"; "-" for none)."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(f"profile={profile}\npids={pids}\n")
        partial.replace(self.path)

    @property
    def variables(self) -> dict[str, str]:
        return {"NVML_STANDIN_CONTROL": str(self.path)}
