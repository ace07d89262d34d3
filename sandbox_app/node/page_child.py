"""The child process that reads pages of strangers: `python -m sandbox_app.node.page_child PARENT`.

On its standard input come one JSON line for each page, then as many bytes as it says;
for each it writes one JSON line. It may use 6 s of processor for all of them and 1 GiB of
memory, write no file, and, where the agent is root, is nobody. Its parent kills it when it is late.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from typing import Any

from sandbox_app.node.page_text import PageUnreadable, page_extract
from sparkweb.child_processes import dies_with_parent

CPU_SECONDS = 6
MEMORY_BYTES = 2**30
NOBODY = 65_534
DATA_MOST_CHARACTERS = 65_536
_PR_SET_NO_NEW_PRIVS = 38
_SAMPLE = b"<html><head><title>x</title></head><body><p>" + b"some words here. " * 40 + b"</p></body></html>"


def main() -> int:
    """Read pages until standard input ends."""
    # Once before the doors close: what libraries load late is loaded now.
    page_extract(_SAMPLE, {"extract": "text", "url": "http://x/", "media_type": "text/html"})
    page_extract(_SAMPLE, {"extract": "meta", "url": "http://x/", "media_type": "text/html"})
    doors_close()
    dies_with_parent(int(sys.argv[1]))  # after setuid, which makes the kernel forget it
    while line := sys.stdin.buffer.readline():
        order = json.loads(line)
        answer = _answer(sys.stdin.buffer.read(order["bytes"]), order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


def doors_close() -> None:
    """Take away what reading a page does not need."""
    for which, limit in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (limit, limit))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _answer(body: bytes, order: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = page_extract(body, order)
    except PageUnreadable as error:
        return {"problem": str(error)}
    except (MemoryError, RecursionError):
        return {"problem": "The page is too large or too deep to be read."}
    start, most = order["offset"], order["most_characters"]
    text = answer.pop("text")
    if "data" in answer and len(json.dumps(answer["data"])) > DATA_MOST_CHARACTERS:
        answer["data"] = None  # the text has it, and can be read on by offset
    return {**answer, "text": text[start : start + most], "characters": len(text)}


if __name__ == "__main__":
    sys.exit(main())
