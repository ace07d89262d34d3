"""Ties between calls and the files of their sub-agents and large outputs, for the sessions being finished."""

from __future__ import annotations

from transcripts_app.importing.writer import Writer

IN_HAND = "session_id IN (SELECT id FROM finishing)"


def links_make(writer: Writer) -> None:
    """By the agent's id that a result or progress told, by the call's id beside the agent's file; by name."""
    execute = writer.connection.execute
    execute("DROP TABLE IF EXISTS temp.beside")
    execute(
        "CREATE TEMP TABLE beside AS SELECT f.id, f.session_id, f.role, f.agent_id, f.tool_use_id "
        "FROM finishing c CROSS JOIN archive_transcriptfile f ON f.session_id = c.id "
        "WHERE f.role IN ('agent', 'result')"
    )
    if not execute("SELECT EXISTS (SELECT 1 FROM beside)").fetchone()[0]:
        return
    execute("CREATE INDEX temp.beside_agent ON beside (session_id, role, agent_id)")
    execute("CREATE INDEX temp.beside_call ON beside (session_id, role, tool_use_id)")
    execute(
        "UPDATE archive_toolcall SET agent_file_id = f.id, agent_id = f.agent_id FROM beside f "  # noqa: S608
        f"WHERE archive_toolcall.{IN_HAND} AND f.session_id = archive_toolcall.session_id "
        "AND f.role = 'agent' AND f.tool_use_id <> '' AND f.tool_use_id = archive_toolcall.tool_use_id "
        "AND archive_toolcall.agent_file_id IS NOT f.id"
    )
    execute(
        "UPDATE archive_toolcall SET agent_file_id = f.id FROM beside f "  # noqa: S608
        f"WHERE archive_toolcall.{IN_HAND} AND f.session_id = archive_toolcall.session_id "
        "AND f.role = 'agent' AND archive_toolcall.agent_id <> '' AND f.agent_id = archive_toolcall.agent_id "
        "AND archive_toolcall.agent_file_id IS NULL"
    )
    for column in ("tool_use_id", "output_name"):
        execute(
            "UPDATE archive_toolcall SET result_file_id = f.id FROM beside f "  # noqa: S608
            f"WHERE archive_toolcall.{IN_HAND} AND f.session_id = archive_toolcall.session_id "
            f"AND f.role = 'result' AND archive_toolcall.{column} <> '' "
            f"AND f.tool_use_id = archive_toolcall.{column} AND archive_toolcall.result_file_id IS NULL"
        )
