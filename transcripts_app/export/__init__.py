"""Transcripts as files: HTML that searches itself, Markdown, JSON, and the lines as they were."""
