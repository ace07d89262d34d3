"""How branches, context, files, blame and errors look in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

Base = serializers.Serializer[Any]


class TranscriptPlaceSerializer(Base):
    record = serializers.IntegerField()
    session = serializers.CharField(help_text="A session's key")
    at = serializers.DateTimeField(allow_null=True)
    text = serializers.CharField()


class TranscriptBranchSerializer(Base):
    index = serializers.IntegerField()
    session = serializers.CharField()
    active = serializers.BooleanField()
    depth = serializers.IntegerField(help_text="How many branches lie between it and the beginning")
    parts_after = serializers.IntegerField(
        allow_null=True, help_text="The record after which it leaves another"
    )
    first = serializers.IntegerField()
    last = serializers.IntegerField()
    begins_with = serializers.CharField()
    prompts = serializers.IntegerField()
    responses = serializers.IntegerField()
    calls = serializers.IntegerField()
    failed = serializers.IntegerField()
    files = serializers.ListField(child=serializers.CharField(), help_text="Changed ones")
    output_tokens = serializers.IntegerField()
    read_tokens = serializers.IntegerField(help_text="Input and cache, of all its responses")


class TranscriptBranchesSerializer(Base):
    sessions = serializers.ListField(child=serializers.CharField())
    branches = TranscriptBranchSerializer(many=True)


class TranscriptEntrySerializer(TranscriptPlaceSerializer):
    kind = serializers.CharField()
    tool = serializers.CharField()
    failed = serializers.BooleanField()


class TranscriptSideSerializer(Base):
    branch = TranscriptBranchSerializer()
    total = serializers.IntegerField()
    entries = TranscriptEntrySerializer(many=True)


class TranscriptBranchPairSerializer(Base):
    parts_after = TranscriptPlaceSerializer(allow_null=True)
    left = TranscriptSideSerializer()
    right = TranscriptSideSerializer()


class TranscriptContextFileSerializer(Base):
    file = serializers.IntegerField()
    agent = serializers.CharField(help_text="Empty: the session itself")


class TranscriptContextTurnSerializer(Base):
    record = serializers.IntegerField()
    at = serializers.DateTimeField(allow_null=True)
    window = serializers.IntegerField(
        help_text="Input, cache read and cache write tokens, as the API counted"
    )
    parts = serializers.DictField(
        child=serializers.IntegerField(), help_text="Estimated; add up to the window"
    )
    added = serializers.DictField(child=serializers.IntegerField())
    dropped = serializers.IntegerField()
    compacted = serializers.BooleanField()


class TranscriptContextSerializer(Base):
    file = serializers.IntegerField()
    files = TranscriptContextFileSerializer(many=True)
    estimated = serializers.BooleanField()
    peak = serializers.IntegerField()
    compactions = serializers.IntegerField()
    turns = TranscriptContextTurnSerializer(many=True)


class TranscriptChangedFileSerializer(Base):
    call = serializers.IntegerField(help_text="Names the file where its path is masked")
    path = serializers.CharField()
    changes = serializers.IntegerField()
    failed = serializers.IntegerField()
    lines_added = serializers.IntegerField()
    lines_removed = serializers.IntegerField()
    first_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True)


class TranscriptChangedFilesSerializer(Base):
    files = TranscriptChangedFileSerializer(many=True)


class TranscriptFileStepSerializer(Base):
    number = serializers.IntegerField()
    verb = serializers.CharField(help_text="write, edit or outside")
    tool = serializers.CharField()
    record = serializers.IntegerField()
    at = serializers.DateTimeField(allow_null=True)
    outside = serializers.BooleanField(help_text="Something else changed the file before it")
    doubtful = serializers.BooleanField(help_text="A command ran that may have changed it")
    sidechain = serializers.BooleanField(help_text="By a sub-agent")
    note = serializers.CharField()


class TranscriptFileLineSerializer(Base):
    number = serializers.IntegerField(allow_null=True)
    text = serializers.CharField(allow_null=True)
    hidden = serializers.IntegerField(allow_null=True)


class TranscriptFileAtSerializer(Base):
    path = serializers.CharField()
    step = serializers.IntegerField()
    steps = TranscriptFileStepSerializer(many=True)
    failed = serializers.IntegerField()
    whole = serializers.BooleanField()
    doubtful = serializers.BooleanField()
    text = serializers.CharField(allow_null=True, help_text="The whole file, where it is known")
    lines = TranscriptFileLineSerializer(many=True)
    cut = serializers.BooleanField()


class TranscriptPathsSerializer(Base):
    paths = serializers.ListField(child=serializers.CharField())


class TranscriptBlameLineSerializer(TranscriptFileLineSerializer):
    call = serializers.IntegerField(allow_null=True)


class TranscriptBlameCallSerializer(Base):
    call = serializers.IntegerField()
    tool = serializers.CharField()
    session = serializers.CharField()
    record = serializers.IntegerField()
    at = serializers.DateTimeField(allow_null=True)
    model = serializers.CharField()
    prompt = TranscriptPlaceSerializer(allow_null=True)


class TranscriptBlameSerializer(Base):
    path = serializers.CharField()
    node = serializers.CharField()
    changes = serializers.IntegerField()
    sessions = serializers.IntegerField()
    cut = serializers.BooleanField()
    lines = TranscriptBlameLineSerializer(many=True)
    calls = TranscriptBlameCallSerializer(many=True)
    answers = TranscriptBlameCallSerializer(many=True)


class TranscriptErrorKindSerializer(Base):
    key = serializers.CharField()
    kind = serializers.CharField(help_text="tool or api")
    message = serializers.CharField(help_text="With paths, numbers, ids and quoted texts folded")
    example = serializers.CharField()
    count = serializers.IntegerField()
    sessions = serializers.IntegerField()
    first_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True)
    trend = serializers.ListField(child=serializers.IntegerField())
    tools = serializers.DictField(child=serializers.IntegerField())
    projects = serializers.DictField(child=serializers.IntegerField(), help_text="By project key")
    models = serializers.DictField(child=serializers.IntegerField())


class TranscriptErrorsSerializer(Base):
    total = serializers.IntegerField()
    sessions = serializers.IntegerField()
    kinds = serializers.IntegerField()
    groups = TranscriptErrorKindSerializer(many=True)


class TranscriptErrorFollowedSerializer(Base):
    looked = serializers.IntegerField(help_text="How many of the newest were looked at")
    retried = serializers.IntegerField()
    worked = serializers.IntegerField()
    turns = serializers.IntegerField(
        allow_null=True, help_text="Half of those that worked did within so many responses"
    )


class TranscriptErrorOccurrenceSerializer(Base):
    at = serializers.DateTimeField(allow_null=True)
    session = serializers.CharField()
    record = serializers.IntegerField()
    tool = serializers.CharField()
    model = serializers.CharField()
    message = serializers.CharField()
    retried = serializers.BooleanField(allow_null=True)
    worked_after = serializers.IntegerField(allow_null=True, help_text="Responses")


class TranscriptErrorSerializer(TranscriptErrorKindSerializer):
    followed = TranscriptErrorFollowedSerializer()
    occurrences = TranscriptErrorOccurrenceSerializer(many=True)
