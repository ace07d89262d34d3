"""One row per answer of the API: the maximum of each field over all lines that tell of it."""

from __future__ import annotations

from typing import Any

from transcripts_app.format.facets import day_of
from transcripts_app.importing.batch import Line
from transcripts_app.importing.writer import Writer

TOKENS = (
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
    "web_searches", "web_fetches",
)  # fmt: skip
COLUMNS = (
    "id", "key", "session_id", "model", "at_ms", "day", "branch", "is_sidechain", "is_synthetic", "is_warmup",
    "service_tier", "speed", *TOKENS,
)  # fmt: skip


def responses_store(writer: Writer, session: int, lines: list[Line]) -> dict[bytes, int]:
    """Store what these lines tell of responses; return their ids by key.

    A response that was read before stays with the session that it was read first with.
    """
    told: dict[bytes, tuple[Line, list[int]]] = {}
    for line in lines:
        if line.usage is None:
            continue
        before = told.get(line.usage[0])
        if before is None:
            told[line.usage[0]] = (line, list(line.usage[5:]))
        else:
            before[1][:] = map(max, before[1], line.usage[5:])
    if not told:
        return {}
    query = "SELECT key, id, session_id FROM archive_response WHERE key IN (%s)"
    found = list(writer.where_in(query, list(told)))
    ids: dict[bytes, int] = {key: number for key, number, _ in found}
    writer.stale({other for _, _, other in found} - {session})
    most = ", ".join(f"{name} = MAX({name}, ?)" for name in TOKENS)
    writer.connection.executemany(
        f"UPDATE archive_response SET {most} WHERE id = ?",  # noqa: S608
        [(*tokens, ids[key]) for key, (_, tokens) in told.items() if key in ids],
    )
    new: list[tuple[Any, ...]] = []
    for key, (line, tokens) in told.items():
        if key not in ids:
            ids[key] = writer.next_id("response")
            _, model, tier, speed, branch, *_ = line.usage or ()
            new.append(
                (ids[key], key, session, model, line.at_ms, day_of(line.at_ms), branch, line.is_sidechain,
                 line.is_synthetic, False, tier, speed, *tokens)
            )  # fmt: skip
    writer.insert("response", COLUMNS, new)
    return ids
