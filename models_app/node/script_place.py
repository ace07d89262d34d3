"""Where scripts may lie on a node, and what is refused: outside, through a link, not executable."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from models_app.engines.script import SERVE, STOP, ScriptSpec
from sparkweb.adapters.ports import port_is_taken, port_listener

# What of the agent's own environment a script may know.
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ")


class ScriptRefused(Exception):
    """A script that is not run; the sentence says why and what to do."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        super().__init__(reason)


@dataclass(frozen=True)
class ScriptPlace:
    """The allowed folder (None: scripts are off on this node), and where runs are kept."""

    root: Path | None
    runs: Path


def script_order(place: ScriptPlace, spec: ScriptSpec, node: str) -> dict[str, object]:
    """What the supervisor is to do. Raises ScriptRefused."""
    folder = _folder(place.root, spec.folder, node)
    serve = folder / SERVE
    _check_program(serve)
    stop = folder / STOP
    if stop.exists() or stop.is_symlink():
        _check_program(stop)
    if port_is_taken("127.0.0.1", spec.port):
        holder = port_listener("127.0.0.1", spec.port)
        raise ScriptRefused(
            "port_in_use", f"Port {spec.port} is in use by {holder}. Stop that, or choose another port."
        )
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        "program": str(serve),
        "stop": str(stop) if stop.exists() else None,
        "cwd": str(folder),
        "env": {**passed, **spec.env},
    }


def _folder(root: Path | None, name: str, node: str) -> Path:
    """The script's folder: below the root, and no link on the way."""
    if root is None:
        raise ScriptRefused(
            "scripts_off",
            f"Scripts are off on {node}. Set SPARKWEB_SCRIPTS_DIR to the folder that holds them, "
            "and start its agent again.",
        )
    folder = root.resolve()
    if not folder.is_dir():
        raise ScriptRefused("scripts_off", f"SPARKWEB_SCRIPTS_DIR on {node} is {root}, which is no folder.")
    for part in Path(name).parts:
        folder = folder / part
        if part in ("..", "/") or not folder.is_relative_to(root.resolve()):
            raise ScriptRefused("script_outside", f"{name} leads out of {root}, where scripts must lie.")
        if folder.is_symlink():
            raise ScriptRefused(
                "script_outside",
                f"{folder} is a symbolic link. Put the folder itself into {root}: links are not followed.",
            )
    if not folder.is_dir():
        raise ScriptRefused("script_missing", f"There is no folder {folder} on {node}.")
    _check_writers(folder)
    return folder


def _check_program(path: Path) -> None:
    if path.is_symlink():
        raise ScriptRefused(
            "script_outside", f"{path} is a symbolic link. Put the file itself there: links are not followed."
        )
    if not path.is_file():
        raise ScriptRefused("script_missing", f"There is no {path.name} in {path.parent}.")
    _check_writers(path)
    if not os.access(path, os.X_OK):
        raise ScriptRefused("script_not_executable", f"{path} is not executable: chmod +x {path}")


def _check_writers(path: Path) -> None:
    if path.stat().st_mode & stat.S_IWOTH:
        raise ScriptRefused(
            "script_unsafe",
            f"Everyone on this machine may change {path}: look into it, then chmod o-w {path}",
        )
