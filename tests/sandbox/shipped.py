"""Runs a shipped tool's program as the sandbox does: arguments on stdin, the result on descriptor 3."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sandbox_app.schema import arguments_check
from sandbox_app.tool_folder import folder_read
from sandbox_app.toolfile import runner_of, tool_parse

TOOLS = Path(__file__).resolve().parents[2] / "tools"
LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Came:
    """What came of a run."""

    code: int
    stdout: str
    stderr: str
    told: dict[str, Any]

    @property
    def data(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.stdout)


@cache
def definition(tool: str) -> dict[str, Any]:
    folder = folder_read(TOOLS / tool)
    return tool_parse(folder.tool_file, folder.paths)


def run(tool: str, workspace: Path | None = None, artifacts: Path | None = None, **arguments: Any) -> Came:
    """Check the arguments as every door does, then run the tool's program with them."""
    checked = arguments_check(definition(tool), arguments)
    request = {
        "arguments": checked,
        "workspace": str(workspace) if workspace else None,
        "artifacts": str(artifacts) if artifacts else None,
        "state": {},
    }
    return start(TOOLS / tool / runner_of(definition(tool))[1], request, workspace)


def start(program: Path, request: dict[str, Any], workspace: Path | None = None) -> Came:
    """Run a Python program with a request on stdin."""
    with tempfile.TemporaryFile() as told:
        # The program knows its result's file as descriptor 3, whatever its number is here.
        command = ["bash", "-c", f'exec 3>&{told.fileno()}; exec "$@"', "start", sys.executable, str(program)]
        ended = subprocess.run(
            command, input=json.dumps(request), capture_output=True, pass_fds=[told.fileno()], text=True,
            cwd=workspace or tempfile.gettempdir(), timeout=LIMIT_SECONDS, check=False,
            errors="surrogateescape",
        )  # fmt: skip
        told.seek(0)
        said = told.read()
    return Came(ended.returncode, ended.stdout, ended.stderr, json.loads(said) if said else {})
