"""Whether anything is new, before Django is started: that alone takes longer than looking at 3,000 files.

Only reads. Where anything at all is to be done, or is not as usual, the command does it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from transcripts_app.importing.ledger import Count
from transcripts_app.importing.opened import file_is_new
from transcripts_app.importing.places import FILE_COLUMNS, FileState
from transcripts_app.importing.walk import text_of, walk
from transcripts_app.importing.writer import now_ms

DEFAULT = "~/.claude/projects"
RUNNING_MS = 10 * 60_000
UNUSUAL = (
    "SELECT EXISTS (SELECT 1 FROM archive_importrun WHERE state = 'running') OR "
    "EXISTS (SELECT 1 FROM archive_session WHERE is_stale) OR "
    "EXISTS (SELECT 1 FROM archive_session WHERE outcome = 'running' AND ended_ms < ?) OR "
    "EXISTS (SELECT 1 FROM archive_search_config WHERE k = 'automerge' AND v = 0)"
)


def answered(arguments: Sequence[str]) -> str | None:
    """Return what `import_transcripts` says where nothing is new; None where the command has to run."""
    as_json = "--json" in arguments
    paths = [one for one in arguments if one != "--json"]
    if any(one.startswith("-") for one in paths):
        return None
    begun = time.perf_counter()
    from sparkweb.settings import ARCHIVE_PATH, NODE_NAME

    folders = [Path(path).expanduser().resolve() for path in paths or [DEFAULT]]
    try:
        if not nothing_new(Path(ARCHIVE_PATH), str(NODE_NAME), folders):
            return None
    except (OSError, sqlite3.Error):
        return None
    seconds = round(time.perf_counter() - begun, 3)
    return json.dumps(Count().as_json() | {"seconds": seconds}) if as_json else "Nothing new."


def nothing_new(archive: Path, node: str, folders: Sequence[Path]) -> bool:
    """Whether every file below the folders is as the archive knows it, and nothing waits to be done."""
    if not archive.is_file():
        return False
    connection = sqlite3.connect(f"{archive.as_uri()}?mode=ro", uri=True, timeout=1)
    try:
        if connection.execute(UNUSUAL, (now_ms() - RUNNING_MS,)).fetchone()[0]:
            return False
        return all(_as_known(connection, node, str(folder)) for folder in folders)
    finally:
        connection.close()


def _as_known(connection: sqlite3.Connection, node: str, root: str) -> bool:
    source = connection.execute(
        "SELECT id FROM archive_source WHERE node = ? AND root = ? AND problem = ''", (node, text_of(root))
    ).fetchone()
    if source is None:
        return False
    known = {
        row[1]: FileState(*row)
        for row in connection.execute(
            f"SELECT {FILE_COLUMNS} FROM archive_transcriptfile WHERE source_id = ?",  # noqa: S608
            source,
        )
    }
    present = set()
    for found in walk(root):
        state = known.get(found.path)
        if state is None or state.gone_ms is not None or file_is_new(found, state):
            return False
        present.add(found.path)
    return all(path in present for path, state in known.items() if state.gone_ms is None)
