"""Calls that clients of the older model manager make (docs/api.md, Calls kept from before)."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from metrics_app.api import node_of
from models_app.api import LINES, NODE, lines_of
from models_app.memory import memory_check
from models_app.models import Launch, ModelDefinition
from models_app.selectors import (
    compat_status,
    definition_card_of,
    definition_cards,
    launch_progress,
    log_tail,
    newest_member,
)
from models_app.serializers import (
    CompatHealthSerializer,
    CompatLogsSerializer,
    CompatModelSerializer,
    CompatStartSerializer,
    CompatStopSerializer,
    MemoryCheckSerializer,
)
from models_app.services import launch_create, launch_live, launch_stop
from sparkweb.accounts.models import Role
from sparkweb.api import NotFound, api_actor, refusals
from sparkweb.env import FALSE, TRUE

WAIT_SECONDS_MOST = 10.0
WAIT_STEP_SECONDS = 0.1
_WAITERS = threading.BoundedSemaphore(4)
FORCE = OpenApiParameter("force", bool, description="Start although memory is short.")
REASON = OpenApiParameter("reason", str, description="Why it is forced; kept with the launch.")
WAIT = OpenApiParameter("wait", float, description="Seconds, up to 10, to wait for the container's id.")


class Models(APIView):
    @extend_schema(
        summary="List models", operation_id="compat_models", parameters=[NODE],
        responses={200: CompatModelSerializer(many=True), **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response(CompatModelSerializer(definition_cards(node_of(request)), many=True).data)


class Model(APIView):
    @extend_schema(
        summary="One model", operation_id="compat_model", parameters=[NODE],
        responses={200: CompatModelSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, model: str) -> Response:
        return Response(CompatModelSerializer(definition_card_of(_definition(model), node_of(request))).data)


class Start(APIView):
    required_roles = {"post": Role.OPERATOR}

    @extend_schema(
        summary="Start a model", operation_id="compat_model_start", request=None,
        parameters=[NODE, FORCE, REASON, WAIT],
        responses={202: CompatStartSerializer, 200: CompatStartSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def post(self, request: Request, model: str) -> Response:
        definition, node, wait = _definition(model), node_of(request), _wait(request)
        forced = _flag(request, "force")
        reason = (request.query_params.get("reason") or "forced through the API") if forced else ""
        check = memory_check(definition, node)
        launch, made = launch_create(
            definition=definition, node=node, actor=api_actor(request), force_reason=reason
        )
        container_id = _container_wait(launch, wait)
        body: dict[str, Any] = {
            "message": f"{definition.name} is starting"
            if made
            else f"{definition.name} is {launch.state} already",
            "status": compat_status(launch.state),
            "state": launch.state,
            "launch": launch.uid,
            "container_id": container_id,
            "timeout_seconds": launch_progress(launch).timeout_seconds,
        }
        if warning := check.warning or check.error:
            body["memory_warning"] = warning
        return Response(body, status=202 if made else 200)


class Stop(APIView):
    required_roles = {"post": Role.OPERATOR}

    @extend_schema(
        summary="Stop a model", operation_id="compat_model_stop", request=None, parameters=[NODE],
        responses={202: CompatStopSerializer, 200: CompatStopSerializer, **refusals(404, 409)},
    )  # fmt: skip
    def post(self, request: Request, model: str) -> Response:
        definition = _definition(model)
        launch = launch_live(definition, node_of(request))
        if launch is None:
            body = {"message": f"{definition.name} does not run", "status": "stopped", "state": "stopped"}
            return Response(body)
        launch = launch_stop(launch=launch, actor=api_actor(request))
        message = f"{definition.name} is stopping" if launch.live else f"{definition.name} is stopped"
        return Response({"message": message, "status": "stopped", "state": launch.state}, status=202)


class Health(APIView):
    @extend_schema(
        summary="Does a model answer", operation_id="compat_model_health", parameters=[NODE],
        responses={200: CompatHealthSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, model: str) -> Response:
        card = definition_card_of(_definition(model), node_of(request))
        launch = card.launch
        said = (
            card.progress.message
            if card.progress
            else launch.get_state_display()
            if launch
            else "Never started"
        )
        body = {
            "id": card.definition.slug,
            "healthy": card.state == "ready",
            "status": card.compat_status,
            "state": card.state,
            "message": (launch.failure_reason if launch else "") or said,
        }
        return Response(body)


class Logs(APIView):
    @extend_schema(
        summary="Last lines of a model's log", operation_id="compat_model_logs", parameters=[NODE, LINES],
        responses={200: CompatLogsSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, model: str) -> Response:
        lines = lines_of(request)
        card = definition_card_of(_definition(model), node_of(request))
        found = log_tail(card.launch, lines) if card.launch else []
        return Response({"id": card.definition.slug, "logs": "\n".join(found), "lines": found})


class MemoryCheckView(APIView):
    @extend_schema(
        summary="Would a model fit", operation_id="compat_model_memory_check", parameters=[NODE],
        responses={200: MemoryCheckSerializer, **refusals(404)},
    )  # fmt: skip
    def get(self, request: Request, model: str) -> Response:
        return Response(asdict(memory_check(_definition(model), node_of(request))))


def _definition(slug: str) -> ModelDefinition:
    # PostgreSQL takes no NUL in a text, not even to look for it.
    found = None if "\x00" in slug else ModelDefinition.objects.filter(slug=slug).first()
    if found is None:
        raise NotFound(f"There is no model {slug!r}.")
    return found


def _container_wait(launch: Launch, seconds: float) -> str | None:
    """Return the id of the launch's container, after waiting up to `seconds` for it; None if none came.

    A waiter holds a thread of the web process, so only a few wait at a time; others get the answer of now.
    """
    may_wait = seconds > 0 and _WAITERS.acquire(blocking=False)
    try:
        deadline = time.monotonic() + (seconds if may_wait else 0)
        while True:
            launch.refresh_from_db()
            launch._prefetched_objects_cache = {}  # type: ignore[attr-defined]
            member = newest_member(launch)
            if (member and member.container_id) or not launch.live or time.monotonic() >= deadline:
                return (member.container_id if member else "") or None
            time.sleep(WAIT_STEP_SECONDS)
    finally:
        if may_wait:
            _WAITERS.release()


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "").lower()
    if text not in TRUE | FALSE:
        raise ValidationError({name: [f"{text[:40]!r} is neither true nor false."]})
    return text in TRUE


def _wait(request: Request) -> float:
    text = request.query_params.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= WAIT_SECONDS_MOST:
        raise ValidationError({"wait": [f"{text[:40]!r}: must be a number of seconds from 0 to 10."]})
    return seconds
