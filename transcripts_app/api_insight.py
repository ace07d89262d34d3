"""Branches, context, files, blame and errors of transcripts, under `/api/transcripts`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from django.core.exceptions import ValidationError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sparkweb.accounts.models import User
from sparkweb.api import NotFound, api_actor, refusals
from transcripts_app.access import session_of
from transcripts_app.archive.models import Record, Session, ToolCall, moment
from transcripts_app.forms_errors import ErrorFilterForm
from transcripts_app.insight.atlas import Group
from transcripts_app.insight.content import rows_of
from transcripts_app.insight_masks import Masks, rows_masked
from transcripts_app.insight_pages import number_of, text_of
from transcripts_app.redaction.display import DisplayMask, mask_for_call, session_texts_mask
from transcripts_app.selectors_blame import file_blame, paths_like, prompts_for
from transcripts_app.selectors_branches import Side, Way, compare, tree_of
from transcripts_app.selectors_context import files_read, waterfall
from transcripts_app.selectors_errors import OCCURRENCES_SHOWN, atlas_read, followed_read
from transcripts_app.selectors_files import StepLine, file_view, files_changed
from transcripts_app.serializers_insight import (
    TranscriptBlameSerializer,
    TranscriptBranchesSerializer,
    TranscriptBranchPairSerializer,
    TranscriptChangedFilesSerializer,
    TranscriptContextSerializer,
    TranscriptErrorSerializer,
    TranscriptErrorsSerializer,
    TranscriptFileAtSerializer,
    TranscriptPathsSerializer,
)
from transcripts_app.views_blame import call_masked
from transcripts_app.views_branches import entry_masked, way_masked
from transcripts_app.views_errors import group_facts, group_masked, occurrences
from transcripts_app.views_files import path_asked

STR, INT = OpenApiTypes.STR, OpenApiTypes.INT
GROUPS_MOST = 200
LINES_MOST = 20_000
ERROR_FILTERS = [
    OpenApiParameter("kind", STR, enum=["tool", "api"]), OpenApiParameter("tool", STR),
    OpenApiParameter("project", STR, description="A project's key"), OpenApiParameter("model", STR),
    OpenApiParameter("text", STR, description="In the message"),
    OpenApiParameter("days", INT, description="Back from now; absent or 0: since ever"),
]  # fmt: skip


class Branches(APIView):
    @extend_schema(
        summary="Branches of a session and its forks", operation_id="transcript_branches",
        responses={200: TranscriptBranchesSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session, masks = _masked(request, key)
        tree = tree_of(cast(User, request.user), session)
        for way in tree.ways:
            way_masked(masks, way)
        return Response(
            {"sessions": [one.key for one in tree.family], "branches": [_way(way) for way in tree.ways]}
        )


class BranchPair(APIView):
    @extend_schema(
        summary="Two branches from where they part", operation_id="transcript_branches_compare",
        parameters=[OpenApiParameter(name, INT, required=True) for name in ("left", "right")],
        responses={200: TranscriptBranchPairSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session, masks = _masked(request, key)
        tree = tree_of(cast(User, request.user), session)
        left, right = (tree.way(_number(request, name)) for name in ("left", "right"))
        if left is None or right is None:
            raise NotFound("There is no such branch in this session.")
        fork, ours, theirs = compare(tree, left, right)
        masks.record(fork)
        for side in (ours, theirs):
            way_masked(masks, side.way)
            for entry in side.entries:
                entry_masked(masks, entry)
        return Response(
            {"parts_after": _place(fork) if fork else None, "left": _side(ours), "right": _side(theirs)}
        )


class Context(APIView):
    @extend_schema(
        summary="What filled the context window, response by response", operation_id="transcript_context",
        description="`window` is the API's own total; `parts` are estimated and add up to it.",
        parameters=[OpenApiParameter("file", INT, description="A sub-agent's; absent: the session's own")],
        responses={200: TranscriptContextSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session = _session(request, key)
        files = files_read(session)
        wanted = number_of(request.query_params.get("file")) if "file" in request.query_params else None
        chosen = (
            next((file for file in files if file.pk == wanted), None)
            if "file" in request.query_params
            else None
        )
        if chosen is None and ("file" in request.query_params or not files):
            raise NotFound("There is no such file in this session.")
        fall = waterfall(session, chosen or files[0])
        return Response(
            {
                "file": fall.file.pk, "files": [{"file": one.pk, "agent": one.agent_id} for one in files],
                "estimated": True, "peak": fall.peak, "compactions": fall.compactions,
                "turns": [
                    {"record": turn.record, "at": moment(turn.at_ms), "window": turn.window,
                     "parts": turn.parts, "added": turn.added, "dropped": turn.dropped,
                     "compacted": turn.is_compacted}
                    for turn in fall.turns
                ],
            }
        )  # fmt: skip


class Files(APIView):
    @extend_schema(
        summary="Files that a session changed", operation_id="transcript_changed_files",
        responses={200: TranscriptChangedFilesSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session, masks = _masked(request, key)
        mask = masks.of(session.project)
        files = files_changed(session)
        return Response(
            {
                "files": [
                    {"call": one.call, "path": mask.text(one.path),
                     "changes": one.changes, "failed": one.failed, "lines_added": one.added,
                     "lines_removed": one.removed, "first_at": moment(one.first_ms),
                     "last_at": moment(one.last_ms)}
                    for one in files
                ]
            }
        )  # fmt: skip


class FileAt(APIView):
    @extend_schema(
        summary="A file as it was at one moment of a session", operation_id="transcript_file_at",
        description=f"At most {LINES_MOST} lines. A line whose text is null stands for `hidden` lines that "
        "nothing tells of.",
        parameters=[OpenApiParameter("path", STR, required=True),
                    OpenApiParameter("at", INT, description="A record at which it changed"),
                    OpenApiParameter("step", INT, description="Or the number of a change; absent: the last")],
        responses={200: TranscriptFileAtSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        session, masks = _masked(request, key)
        mask, path = masks.of(session.project), path_asked(session, request.query_params)
        at, step = (
            _number(request, name) if name in request.query_params else None for name in ("at", "step")
        )
        view = file_view(session, path, at, step)
        if view.chosen is None:
            raise NotFound("No call of this session that went well changed that file.")
        content = view.chosen.after
        rows = rows_masked(rows_of(content), mask.text)
        return Response(
            {
                "path": mask.text(path), "step": view.place,
                "steps": [_step(line, mask) for line in view.steps],
                "failed": view.failed, "whole": content.is_whole, "doubtful": view.chosen.is_doubtful,
                "text": None if content.text is None or len(rows) > LINES_MOST else mask.text(content.text),
                "lines": [asdict(row) for row in rows[:LINES_MOST]],
                "cut": len(rows) > LINES_MOST or view.is_cut,
            }
        )  # fmt: skip


class BlamePaths(APIView):
    @extend_schema(
        summary="Changed files whose path contains a text", operation_id="transcript_blame_paths",
        parameters=[OpenApiParameter("path", STR)], responses={200: TranscriptPathsSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        user = cast(User, request.user)
        return Response({"paths": paths_like(user, text_of(request.query_params.get("path")), Masks(user))})


class BlameView(APIView):
    @extend_schema(
        summary="Which prompt wrote a line", operation_id="transcript_blame",
        description=f"Lines of the last known content (at most {LINES_MOST}), each with the call that wrote "
        "it, null where that is not known; `calls` and `answers` name them.",
        parameters=[OpenApiParameter("path", STR, required=True), OpenApiParameter("node", STR),
                    OpenApiParameter("line", INT, description="Of the last known content"),
                    OpenApiParameter("text", STR, description="Or a piece of text that a change added")],
        responses={200: TranscriptBlameSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        params = request.query_params
        line = _number(request, "line") if "line" in params else None
        found = file_blame(
            cast(User, request.user), text_of(params.get("path")), node=text_of(params.get("node"), 63),
            line=line, text=text_of(params.get("text"), 4000),
        )  # fmt: skip
        if found is None:
            raise NotFound("No session that you may see changed that file.")
        masks = Masks(cast(User, request.user))
        lines = found.lines[:LINES_MOST]
        prompts = prompts_for(lines)
        rows = rows_masked([one.row for one in lines], masks.texts_of(found.projects))
        owners = {one.origin.pk: one.origin for one in lines if one.origin is not None}
        return Response(
            {
                "path": found.path, "node": found.node, "changes": found.changes, "sessions": found.sessions,
                "cut": found.is_cut or len(found.lines) > LINES_MOST,
                "lines": [
                    {**asdict(row), "call": one.origin.pk if one.origin is not None else None}
                    for one, row in zip(lines, rows, strict=True)
                ],
                "calls": [_call(masks, call, prompts.get(number)) for number, call in owners.items()],
                "answers": [_call(masks, answer.call, answer.prompt) for answer in found.answers],
            }
        )  # fmt: skip


class Errors(APIView):
    @extend_schema(
        summary="Failures grouped by what they say", operation_id="transcript_errors",
        parameters=ERROR_FILTERS, responses={200: TranscriptErrorsSerializer, **refusals()},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        user = cast(User, request.user)
        masks = Masks(user)
        atlas = atlas_read(user, _form(request).wanted())
        groups = [_group(group_masked(group, atlas, masks)) for group in atlas.groups[:GROUPS_MOST]]
        return Response(
            {"total": atlas.total, "sessions": atlas.sessions, "kinds": len(atlas.groups), "groups": groups}
        )


class ErrorGroup(APIView):
    @extend_schema(
        summary="One kind of failure, its newest occurrences, what followed", operation_id="transcript_error",
        parameters=ERROR_FILTERS, responses={200: TranscriptErrorSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, group: str) -> Response:
        wanted = _form(request).wanted()
        user = cast(User, request.user)
        masks = Masks(user)
        atlas = atlas_read(user, wanted, newest=OCCURRENCES_SHOWN)
        found = atlas.group(group)
        if found is None:
            raise NotFound("There is no such error in what you may see.")
        group_masked(found, atlas, masks)
        followed = followed_read(found.newest)
        facts = group_facts(found, followed)
        told_of = [
            {"at": one["at"], "message": one["message"], **_failure(one["one"], one["followed"])}
            for one in occurrences(found, followed, masks)
        ]
        told = {name: facts[name] for name in ("looked", "retried", "worked", "turns")}
        return Response(_group(found) | {"followed": told, "occurrences": told_of})


def _masked(request: Request, key: str) -> tuple[Session, Masks]:
    """A session, and what masks its texts; `?reveal=true` of its owner or an admin masks nothing."""
    session = _session(request, key)
    own = mask_for_call(request, session, api_actor(request))
    session_texts_mask(session, own)
    return session, Masks(cast(User, request.user), session, own)


def _session(request: Request, key: str) -> Session:
    session = session_of(cast(User, request.user), key)
    if session is None:
        raise NotFound("There is no such session, or its project is not shared with you.")
    return session


def _number(request: Request, name: str) -> int:
    number = number_of(request.query_params.get(name))
    if number is None:
        raise ValidationError({name: ["Must be a whole number, 0 or more."]})
    return number


def _form(request: Request) -> ErrorFilterForm:
    form = ErrorFilterForm(request.query_params)
    if not form.is_valid():
        raise ValidationError({name: list(errors) for name, errors in form.errors.items()})
    return form


def _place(record: Record) -> dict[str, Any]:
    session = record.session
    return {
        "record": record.pk,
        "session": session.key if session else "",
        "at": record.at,
        "text": record.preview,
    }


def _way(way: Way) -> dict[str, Any]:
    return {
        "index": way.index, "session": way.session.key, "active": way.branch.is_active, "depth": way.depth,
        "parts_after": way.branch.fork, "first": way.branch.first, "last": way.branch.leaf,
        "begins_with": way.record.preview, "prompts": way.prompts, "responses": way.responses,
        "calls": way.calls, "failed": way.errors, "files": way.files, "output_tokens": way.output_tokens,
        "read_tokens": way.read_tokens,
    }  # fmt: skip


def _side(side: Side) -> dict[str, Any]:
    return {
        "branch": _way(side.way), "total": side.total,
        "entries": [
            {**_place(one.record), "text": one.text, "kind": one.kind.name.lower(), "tool": one.tool,
             "failed": one.is_error}
            for one in side.entries
        ],
    }  # fmt: skip


def _step(line: StepLine, mask: DisplayMask) -> dict[str, Any]:
    call = line.call
    return {
        "number": line.number, "verb": line.verb, "tool": call.name, "record": call.record_id,
        "at": moment(call.ended_ms or call.started_ms), "outside": line.is_outside,
        "doubtful": line.is_doubtful, "sidechain": call.record.is_sidechain, "note": mask.text(line.note),
    }  # fmt: skip


def _call(masks: Masks, call: ToolCall, prompt: Record | None) -> dict[str, Any]:
    call_masked(masks, call, prompt)
    return {
        "call": call.pk, "tool": call.name, "session": call.session.key, "record": call.record_id,
        "at": call.record.at, "model": call.record.model, "prompt": _place(prompt) if prompt else None,
    }  # fmt: skip


def _failure(one: Any, after: Any) -> dict[str, Any]:
    return {
        "session": one.session, "record": one.record, "tool": one.tool, "model": one.model,
        "retried": after.is_retried if after else None, "worked_after": after.turns if after else None,
    }  # fmt: skip


def _group(group: Group) -> dict[str, Any]:
    return {
        "key": group.key, "kind": group.kind, "message": group.message, "example": group.example,
        "count": group.count, "sessions": len(group.sessions), "first_at": moment(group.first_ms),
        "last_at": moment(group.last_ms), "trend": group.trend,
        "tools": {name: count for name, count in group.tools.items() if count},
        "projects": dict(group.projects),
        "models": {name: count for name, count in group.models.items() if count},
    }  # fmt: skip
