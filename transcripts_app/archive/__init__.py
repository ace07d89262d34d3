"""The archive: what was read of Claude Code's transcripts, in an SQLite file of its own."""
