"""The page of a node's storage and its buttons."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from metrics_app.models import Node
from models_app.exceptions import StorageRefused
from models_app.models_storage import NodeStorage, StorageItem, StorageJob, StorageKind
from models_app.storage_jobs import (
    delete_create,
    download_create,
    image_pull_create,
    job_again,
    job_cancel,
    ollama_pull_create,
    scan_request,
)
from models_app.storage_selectors import storage_areas, storage_job_rows, storage_rows
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

ORDERS = (("", "Size"), ("name", "Name"), ("used", "Longest unused"))


@never_cache
@require_safe
def node_storage(request: HttpRequest, name: str) -> HttpResponse:
    """What lies on a node, what is on its way, and forms to get more."""
    node = get_object_or_404(Node, name=name)
    return render(request, "models_app/storage.html", _list_context(request, node) | _jobs_context(node))


@never_cache
@require_safe
def node_storage_list(request: HttpRequest, name: str) -> HttpResponse:
    """The listing alone, fetched again when it changed."""
    return render(
        request, "models_app/_storage_list.html", _list_context(request, get_object_or_404(Node, name=name))
    )


@never_cache
@require_safe
def node_storage_jobs(request: HttpRequest, name: str) -> HttpResponse:
    """The jobs alone, fetched again when one changed."""
    return render(request, "models_app/_storage_jobs.html", _jobs_context(get_object_or_404(Node, name=name)))


def _list_context(request: HttpRequest, node: Node) -> dict[str, Any]:
    storage = NodeStorage.objects.filter(node=node).first()
    kind, order = (request.GET.get(word, "").replace("\0", "") for word in ("kind", "order"))
    return {
        "node": node,
        "storage": storage,
        "areas": storage_areas(storage),
        "rows": storage_rows(node, kind, order),
        "any": StorageItem.objects.filter(node=node).exists(),
        "kind": kind,
        "order": order,
        "kinds": StorageKind.choices,
        "orders": ORDERS,
    }


def _jobs_context(node: Node) -> dict[str, Any]:
    return {"node": node, "jobs": storage_job_rows(node)}


# Buttons ------------------------------------------------------------------------


@require_POST
@role_required(Role.OPERATOR)
def node_storage_get(request: HttpRequest, name: str) -> HttpResponse:
    """Ask for weights or an image ahead: `what` is hf, ollama or image."""
    node, actor = get_object_or_404(Node, name=name), actor_of(request)

    def told(field: str) -> str:
        return request.POST.get(field, "").strip()

    try:
        if told("what") == "ollama":
            job, made = ollama_pull_create(node=node, model=told("model"), actor=actor)
        elif told("what") == "image":
            job, made = image_pull_create(node=node, image=told("image"), actor=actor)
        else:
            job, made = download_create(
                node=node,
                repo=told("repo"),
                repo_type=told("repo_type") or "model",
                revision=told("revision"),
                patterns=[part for part in told("patterns").replace(",", " ").split() if part],
                actor=actor,
            )
    except StorageRefused as refused:
        return _refusal(request, refused)
    return _done(job, f"{job.title} is requested" if made else f"{job.title} is under way already")


@require_POST
@role_required(Role.ADMIN)
def node_storage_delete(request: HttpRequest, name: str) -> HttpResponse:
    """Delete what the listing names by `key`."""
    node = get_object_or_404(Node, name=name)
    try:
        job, _ = delete_create(node=node, key=request.POST.get("key", ""), actor=actor_of(request))
    except StorageRefused as refused:
        return _refusal(request, refused)
    return _done(job, f"{job.title} is being deleted")


@require_POST
@role_required(Role.OPERATOR)
def node_storage_scan(_request: HttpRequest, name: str) -> HttpResponse:
    """Have the node look again."""
    node = get_object_or_404(Node, name=name)
    asked = scan_request(node=node)
    words = (
        f"{node} looks again"
        if asked
        else f"{node} was not reached; it looks by itself each quarter of an hour"
    )
    return _toast(HttpResponse(status=204), words, "good" if asked else "warn")


@require_POST
@role_required(Role.OPERATOR)
def storage_job_cancel(request: HttpRequest, uid: str) -> HttpResponse:
    """End a download or pull; what came stays."""
    job = job_cancel(job=get_object_or_404(StorageJob, uid=uid), actor=actor_of(request))
    return _done(job, f"{job.title} is being cancelled")


@require_POST
@role_required(Role.OPERATOR)
def storage_job_again(request: HttpRequest, uid: str) -> HttpResponse:
    """Ask once more for what a job was about; a deletion needs an admin again."""
    job = get_object_or_404(StorageJob, uid=uid)
    if job.kind == "delete":
        return _refusal(request, StorageRefused("Delete it in the list again", "delete_again"))
    try:
        job, _ = job_again(job=job, actor=actor_of(request))
    except StorageRefused as refused:
        return _refusal(request, refused)
    return _done(job, f"{job.title} is requested again")


def _done(job: StorageJob, sentence: str) -> HttpResponse:
    response = HttpResponse(status=204)
    trigger_client_event(response, "storage-changed", {"node": job.node_name})
    return _toast(response, sentence, "good")


def _toast(response: HttpResponse, sentence: str, tone: str) -> HttpResponse:
    return trigger_client_event(response, "toast", {"message": sentence, "tone": tone})


def _refusal(request: HttpRequest, refused: StorageRefused) -> HttpResponse:
    return render(request, "models_app/_refusal.html", {"refused": refused}, status=409)
