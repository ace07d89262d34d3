"""Runs a command line with Bash, from a file: nothing is put together, and it may be of any size.

Standard library alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile


def main() -> int:
    request = json.load(sys.stdin)
    arguments = request["arguments"]
    if request.get("artifacts"):
        os.environ["ARTIFACTS"] = request["artifacts"]
    root = os.path.realpath(request.get("workspace") or tempfile.gettempdir())
    folder = os.path.realpath(os.path.join(root, arguments["working_dir"]))
    if folder != root and not folder.startswith(root + os.sep):
        return refuse(f"working_dir {arguments['working_dir']!r} lies outside the workspace.")
    if not os.path.isdir(folder):
        return refuse(f"working_dir {arguments['working_dir']!r}: there is no such folder.")
    return run(arguments["command"], arguments.get("stdin", ""), folder)


def run(command: str, given: str, folder: str) -> int:
    script, stdin = held("command", command), held("stdin", given)
    try:
        ended = subprocess.run(
            ["bash", f"/proc/self/fd/{script}"], stdin=stdin, cwd=folder, pass_fds=[script], check=False
        )
    except FileNotFoundError:
        return refuse("This sandbox image has no Bash.", 127)
    finally:
        os.close(script)
        os.close(stdin)
    if ended.returncode < 0:
        answer(f"The command was killed by signal {-ended.returncode}.")
        return 128 - ended.returncode
    if ended.returncode:
        answer(f"The command ended with exit code {ended.returncode}.")
    return ended.returncode


def held(name: str, text: str) -> int:
    """A file in memory that has no place in any folder; its descriptor, at the beginning."""
    descriptor = os.memfd_create(name)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def refuse(sentence: str, code: int = 2) -> int:
    print(sentence, file=sys.stderr)
    answer(sentence)
    return code


def answer(error: str) -> None:
    """Tell the sandbox what went wrong, beside what was printed."""
    try:
        with open(3, "w", encoding="utf-8", closefd=False) as pipe:
            json.dump({"error": error}, pipe)
    except OSError:
        pass  # nobody listens: run by hand


if __name__ == "__main__":
    sys.exit(main())
