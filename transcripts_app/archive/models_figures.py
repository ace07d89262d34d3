"""Sums of sessions, so that figures of all of them take no time. Made anew with the session's row.

What may be filtered by stands in columns; a sum over rows is a sum over responses, calls or days.
"""

from __future__ import annotations

from django.db import models

from transcripts_app.archive.models import ArchiveModel, Session


class Usage(ArchiveModel):
    """Responses of a session by day, model and branch; synthetic ones are not among them."""

    session = models.ForeignKey(Session, models.DO_NOTHING, related_name="usage")
    day = models.IntegerField(null=True)  # 20261201, UTC
    model = models.TextField()
    branch = models.TextField(default="")
    is_warmup = models.BooleanField(default=False)
    unpriced = models.TextField(default="")  # why these have no price; "" they have
    responses = models.IntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cache_read_tokens = models.BigIntegerField()
    cache_write_5m_tokens = models.BigIntegerField()
    cache_write_1h_tokens = models.BigIntegerField()
    web_searches = models.IntegerField()
    web_fetches = models.IntegerField()
    cost_pico = models.BigIntegerField()  # millionths of a millionth of a dollar; 0 where unpriced

    class Meta(ArchiveModel.Meta):
        indexes = [models.Index(fields=["day"], name="archive_usage_day")]


class ToolUse(ArchiveModel):
    """Tool calls of a session by day, tool, and model and branch of the response that made them."""

    session = models.ForeignKey(Session, models.DO_NOTHING, related_name="tool_use")
    day = models.IntegerField(null=True)
    tool = models.TextField()
    model = models.TextField()
    branch = models.TextField(default="")
    calls = models.IntegerField()
    errors = models.IntegerField()
    lines_added = models.IntegerField()  # of calls that worked
    lines_removed = models.IntegerField()

    class Meta(ArchiveModel.Meta):
        indexes = [models.Index(fields=["day"], name="archive_tooluse_day")]


class SessionDay(ArchiveModel):
    """A day of a session: how long something went on, and what a person typed."""

    session = models.ForeignKey(Session, models.DO_NOTHING, related_name="days")
    day = models.IntegerField(null=True)
    active_ms = models.BigIntegerField()
    prompts = models.IntegerField()

    class Meta(ArchiveModel.Meta):
        indexes = [models.Index(fields=["day"], name="archive_sessionday_day")]


class Fact(ArchiveModel):
    """Something that the import process keeps in mind, by name."""

    name = models.CharField(max_length=60, unique=True)
    value = models.TextField()
