"""The archive's tables. The import process alone writes them (archive.router); everyone else reads.

Times are milliseconds since the epoch, UTC; `*_uid` are the 16 bytes of a uuid
(or of a digest, where a record's `uuid` is none). Nothing here refers to the main
database; owners, shares, tags and notes there refer to `key`s here.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models

from transcripts_app.format.kinds import Kind


def moment(at_ms: int | None) -> datetime | None:
    """Milliseconds since the epoch as an aware time; None for none, and for what no calendar holds."""
    try:
        return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


class ArchiveModel(models.Model):
    class Meta:
        abstract = True
        app_label = "archive"

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class Source(ArchiveModel):
    """A folder on a node that holds transcripts, or the uploads of one person."""

    node = models.CharField(max_length=63)
    root = models.TextField()
    kind = models.CharField(max_length=8)  # local, node, upload
    owner = models.CharField(max_length=150, default="")  # a user name of the main database; "" none
    seen_ms = models.BigIntegerField(null=True)
    problem = models.TextField(default="")  # why it could not be read the last time

    class Meta(ArchiveModel.Meta):
        constraints = [models.UniqueConstraint(fields=["node", "root"], name="archive_source_once")]


class Project(ArchiveModel):
    """A working directory on a node: where a session's first record says that it ran."""

    key = models.CharField(max_length=16, unique=True)
    node = models.CharField(max_length=63)
    path = models.TextField()
    name = models.TextField()  # its last part
    path_guessed = models.BooleanField(default=False)  # no record told it: read off the folder's name


class Session(ArchiveModel):
    """One session with its sub-agents. Its figures count each record and response once, wherever copied."""

    key = models.CharField(max_length=16, unique=True)
    session_id = models.TextField(db_index=True)  # Claude Code's; not unique across folders
    source = models.ForeignKey(Source, models.DO_NOTHING, related_name="sessions")
    project = models.ForeignKey(Project, models.DO_NOTHING, related_name="sessions")
    project_from = models.SmallIntegerField(default=0)  # its folder's name, a sub-agent, itself
    folder = models.TextField()  # the encoded one, below the source's root
    title = models.TextField(default="")
    title_kind = models.CharField(max_length=8, default="")  # custom, ai, summary, agent, prompt
    first_prompt = models.TextField(default="")  # at most 300 characters
    started_ms = models.BigIntegerField(null=True)
    ended_ms = models.BigIntegerField(null=True)
    active_ms = models.BigIntegerField(default=0)  # turns by turn_duration, else gaps under five minutes
    changed_ms = models.BigIntegerField(default=0)  # when the import last changed it
    version = models.CharField(max_length=40, default="")
    branch = models.TextField(default="")  # the last one
    model_names = models.JSONField(default=list)  # most output first
    outcome = models.CharField(max_length=12, default="")  # done, interrupted, error, running, empty
    records = models.IntegerField(default=0)
    prompts = models.IntegerField(default=0)
    answers = models.IntegerField(default=0)
    tool_calls = models.IntegerField(default=0)
    tool_errors = models.IntegerField(default=0)
    api_errors = models.IntegerField(default=0)
    compactions = models.IntegerField(default=0)
    agents = models.IntegerField(default=0)
    files_touched = models.IntegerField(default=0)
    lines_added = models.IntegerField(default=0)
    lines_removed = models.IntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    cost_micros = models.BigIntegerField(null=True)  # millionths of a dollar; None: no price for a model
    bytes = models.BigIntegerField(default=0)
    secrets = models.IntegerField(default=0)  # records with likely secrets
    is_warmup = models.BooleanField(default=False)
    forked_from = models.ForeignKey("self", models.DO_NOTHING, null=True, related_name="forks")
    leaf = models.BigIntegerField(null=True)  # the record that ends the active path
    gone_ms = models.BigIntegerField(null=True)  # since when its source has it no longer
    is_stale = models.BooleanField(default=False)  # its figures are to be made anew; soon, by the import

    class Meta(ArchiveModel.Meta):
        indexes = [
            models.Index(fields=["id"], condition=models.Q(is_stale=True), name="archive_session_stale"),
            models.Index(fields=["project", "-started_ms"], name="archive_session_project"),
            models.Index(fields=["-started_ms"], name="archive_session_started"),
        ]

    @property
    def started_at(self) -> datetime | None:
        return moment(self.started_ms)

    @property
    def ended_at(self) -> datetime | None:
        return moment(self.ended_ms)


class TranscriptFile(ArchiveModel):
    """A file below a source. `read_to` is where reading goes on: always just behind a newline."""

    source = models.ForeignKey(Source, models.DO_NOTHING, related_name="files")
    path = models.TextField()  # below the source's root
    role = models.CharField(max_length=8)  # session, agent, journal, result, meta, refused
    session = models.ForeignKey(Session, models.DO_NOTHING, null=True, related_name="files")
    agent_id = models.TextField(default="")
    tool_use_id = models.TextField(default="")  # of a sub-agent's call; of a result: the file's name
    meta = models.JSONField(default=dict)  # of an agent: agentType, toolUseId, description
    generation = models.IntegerField(default=1)  # one more each time that it was rewritten
    read_to = models.BigIntegerField(default=0)
    size = models.BigIntegerField(default=0)
    mtime_ns = models.BigIntegerField(default=0)
    rewritten_to = models.BigIntegerField(default=0)  # up to here its lines are looked for in earlier forms
    fingerprint = models.BinaryField(default=b"")  # of the first and last 4 KiB before read_to
    lines = models.IntegerField(default=0)
    bad_lines = models.IntegerField(default=0)
    problem = models.TextField(default="")
    gone_ms = models.BigIntegerField(null=True)

    class Meta(ArchiveModel.Meta):
        constraints = [models.UniqueConstraint(fields=["source", "path"], name="archive_file_once")]


class RawBlock(ArchiveModel):
    """Whole lines of a file as they were, zstd: the blocks of a generation, in order, are the file."""

    file = models.ForeignKey(TranscriptFile, models.DO_NOTHING, related_name="blocks", db_index=False)
    generation = models.IntegerField()
    start = models.BigIntegerField()  # where in the file
    length = models.IntegerField()  # before compression
    data = models.BinaryField()

    class Meta(ArchiveModel.Meta):
        indexes = [models.Index(fields=["file", "generation", "start"], name="archive_block_place")]


class Response(ArchiveModel):
    """One answer of the API, however many lines and files tell of it: the maximum of each field.

    Its key is made of message id and request id, else message id, else the record's uuid.
    It is billed to the session that was read first with it.
    """

    key = models.BinaryField(unique=True, max_length=16)
    session = models.ForeignKey(Session, models.DO_NOTHING, related_name="responses")
    model = models.TextField()
    at_ms = models.BigIntegerField(null=True)
    day = models.IntegerField(null=True)  # 20261201, UTC
    branch = models.TextField(default="")
    is_sidechain = models.BooleanField(default=False)
    is_synthetic = models.BooleanField(default=False)  # not billed
    is_warmup = models.BooleanField(default=False)
    service_tier = models.CharField(max_length=20, default="")
    speed = models.CharField(max_length=20, default="")
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    web_searches = models.IntegerField(default=0)
    web_fetches = models.IntegerField(default=0)

    class Meta(ArchiveModel.Meta):
        indexes = [models.Index(fields=["day"], name="archive_response_day")]


class Record(ArchiveModel):
    """One line of a file. A copy of a record read before has `copy_of`, and is neither searched nor counted.

    Order inside a file is `line`; the text is not here: `store.record_json` reads the raw line.
    """

    file = models.ForeignKey(TranscriptFile, models.DO_NOTHING, related_name="records", db_index=False)
    session = models.ForeignKey(Session, models.DO_NOTHING, related_name="lines", null=True)
    line = models.IntegerField()  # from 1
    generation = models.IntegerField(default=1)  # of the file, when the line was last seen in it
    block = models.ForeignKey(RawBlock, models.DO_NOTHING, related_name="+", db_index=False)
    start = models.IntegerField()  # in the block's bytes
    length = models.IntegerField()  # without the newline
    kind = models.SmallIntegerField(choices=[(kind.value, kind.name.lower()) for kind in Kind])
    type = models.TextField()
    subtype = models.TextField(default="")
    uid = models.BinaryField(null=True, max_length=16, db_index=True)
    parent_uid = models.BinaryField(null=True, max_length=16)
    logical_parent_uid = models.BinaryField(null=True, max_length=16)
    copy_of = models.BigIntegerField(null=True)  # a Record
    is_conflict = models.BooleanField(default=False)  # same uuid as copy_of, other content
    response = models.BigIntegerField(null=True)  # a Response
    at_ms = models.BigIntegerField(null=True)
    model = models.TextField(default="")  # of a result: of the call that it answers
    tool = models.TextField(default="")  # of its first call, or of the call that it answers
    preview = models.TextField(default="")  # landmarks and errors: at most 160 characters
    is_error = models.BooleanField(default=False)
    is_sidechain = models.BooleanField(default=False)
    is_meta = models.BooleanField(default=False)
    is_synthetic = models.BooleanField(default=False)
    duration_ms = models.BigIntegerField(default=0)  # of the turn that it ends (turn_duration)
    is_aside = models.BooleanField(default=False)  # on a branch that was left by a rewind: format.tree
    is_twin = models.BooleanField(default=False)  # says what another record says too (queue-operation)

    class Meta(ArchiveModel.Meta):
        indexes = [
            models.Index(fields=["file", "line"], name="archive_record_place"),
            models.Index(fields=["subtype"], condition=models.Q(is_error=True), name="archive_record_error"),
        ]

    @property
    def at(self) -> datetime | None:
        return moment(self.at_ms)


class ToolCall(ArchiveModel):
    """One tool_use block, with its result once that was read."""

    session = models.ForeignKey(Session, models.DO_NOTHING, related_name="calls")
    record = models.ForeignKey(Record, models.DO_NOTHING, related_name="calls")
    result = models.ForeignKey(Record, models.DO_NOTHING, null=True, related_name="+", db_index=False)
    tool_use_id = models.TextField(db_index=True)
    name = models.TextField()
    is_error = models.BooleanField(default=False)
    error = models.TextField(default="")  # first 300 characters of a failed result
    started_ms = models.BigIntegerField(null=True)
    ended_ms = models.BigIntegerField(null=True)
    path = models.TextField(default="", db_index=True)  # of the file that it reads or changes
    operation = models.CharField(max_length=8, default="")  # read, write, edit
    lines_added = models.IntegerField(default=0)
    lines_removed = models.IntegerField(default=0)
    agent_id = models.TextField(default="")  # of the sub-agent that it started
    agent_file = models.ForeignKey(TranscriptFile, models.DO_NOTHING, null=True, related_name="+")
    result_file = models.ForeignKey(TranscriptFile, models.DO_NOTHING, null=True, related_name="+")
    output_name = models.TextField(default="")  # of the file in tool-results that its result names

    class Meta(ArchiveModel.Meta):
        indexes = [
            models.Index(fields=["started_ms"], condition=models.Q(is_error=True), name="archive_call_error"),
            models.Index(
                fields=["path"],
                condition=models.Q(operation__in=("write", "edit")),
                name="archive_call_change",
            ),
        ]


class Title(ArchiveModel):
    """A title or summary as written; `leaf_uid` says whose session, where the record names no session."""

    record = models.ForeignKey(Record, models.DO_NOTHING, related_name="+")
    session_id = models.TextField(default="", db_index=True)
    leaf_uid = models.BinaryField(null=True, max_length=16, db_index=True)
    kind = models.CharField(max_length=8)  # custom, ai, summary, agent
    text = models.TextField()


class ImportRun(ArchiveModel):
    """One walk over sources, or one day of following them."""

    trigger = models.CharField(max_length=10)  # command, follow, upload, node
    state = models.CharField(max_length=10)  # running, done, failed
    started_ms = models.BigIntegerField()
    ended_ms = models.BigIntegerField(null=True)
    error = models.TextField(default="")
    totals = models.JSONField(default=dict)  # importing.ledger.Count, summed over files


class ImportFile(ArchiveModel):
    """What one run read of one file."""

    run = models.ForeignKey(ImportRun, models.DO_NOTHING, related_name="files")
    file = models.ForeignKey(TranscriptFile, models.DO_NOTHING, related_name="imports")
    count = models.JSONField(default=dict)  # importing.ledger.Count

    class Meta(ArchiveModel.Meta):
        constraints = [models.UniqueConstraint(fields=["run", "file"], name="archive_import_once")]


class BadLine(ArchiveModel):
    """A line that is no record: where, and why. Its bytes are in the raw blocks."""

    file = models.ForeignKey(TranscriptFile, models.DO_NOTHING, related_name="bad")
    generation = models.IntegerField()
    line = models.IntegerField()
    start = models.BigIntegerField()  # in the file
    length = models.IntegerField()
    reason = models.TextField()


class SecretHit(ArchiveModel):
    """A record with likely secrets: by which rule, how many. Never the secret itself."""

    session = models.ForeignKey(Session, models.DO_NOTHING, related_name="secret_hits", null=True)
    record = models.ForeignKey(Record, models.DO_NOTHING, related_name="secret_hits")
    rule = models.CharField(max_length=20)  # redaction.rules: private_keys, keys, passwords
    count = models.IntegerField()


# The full-text index, archive_search(body, facets), is made by the first migration; its rowids are Records.

from transcripts_app.archive.models_figures import Fact, SessionDay, ToolUse, Usage  # noqa: E402, F401 - found by Django
