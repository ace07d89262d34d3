"""Asking the archive process for something: a row that it acts on, whenever it gets there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from sparkweb.accounts.actor import Actor, audit
from transcripts_app.models_requests import ArchiveRequest


@transaction.atomic
def request_make(
    *, kind: str, payload: dict[str, Any], actor: Actor, due_at: datetime | None = None
) -> ArchiveRequest:
    """Ask the archive process to do `kind` with `payload` (JSON-able); not before `due_at`.

    Its handler is found by `transcripts_app.importing.requests.handler`; a kind without
    one ends as failed. Whether the actor may ask is for the caller to check.
    """
    request = ArchiveRequest.objects.create(
        kind=kind,
        payload=payload,
        requested_by=actor.user,
        requested_label=actor.label,
        due_at=due_at or timezone.now(),
    )
    audit(actor, f"archive_{kind}", f"request {request.pk}")
    return request


def request_json(request: ArchiveRequest) -> dict[str, Any]:
    """What a caller is told of a request."""
    return {
        "id": request.pk,
        "kind": request.kind,
        "state": request.state,
        "percent": request.percent,
        "progress": request.progress,
        "result": request.result,
        "error": request.error,
        "requested_by": request.requested_label,
        "requested_at": request.requested_at,
        "started_at": request.started_at,
        "ended_at": request.ended_at,
    }
