"""Pages and buttons about launches."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, reswap, retarget, trigger_client_event

from metrics_app.models import Node
from models_app.engine_live import engine_figures, engine_of_launch
from models_app.exceptions import LaunchRefused
from models_app.failure_cards import comparison_of, failure_of
from models_app.forms import LaunchFilterForm
from models_app.log_archive import log_is_whole, log_page
from models_app.making_room import launch_after_stopping
from models_app.members import launch_node_names
from models_app.memory import memory_fit
from models_app.models import Launch, LaunchState, ModelDefinition
from models_app.run_lines import launch_lines, notes_once, ranks_text
from models_app.selectors import (
    definition_card_of,
    launch_progress,
    launches_filtered,
    log_rest,
    log_tail,
    newest_member,
)
from models_app.services import launch_live, launch_restart, launch_stop
from models_app.start_stages import STARTING_STATES, start_times
from sparkweb.accounts.models import Role
from sparkweb.accounts.pages import role_required
from sparkweb.accounts.services import actor_of

PAGE_SIZE = 50
EVENTS_SHOWN = 60
FAILURE_LOG_LINES = 40
KEPT_LOG_LINES = 1000
FAILURE_STATES = (LaunchState.FAILED, LaunchState.PARKED)


# Buttons ------------------------------------------------------------------------


@require_POST
@role_required(Role.OPERATOR)
def definition_start(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a definition on a node; with `force_reason` also where memory is short."""
    definition = get_object_or_404(ModelDefinition, slug=slug)
    node = get_object_or_404(Node, name=request.POST.get("node", ""))
    reason = request.POST.get("force_reason", "").replace("\x00", "").strip()
    try:
        launch, created = launch_after_stopping(
            definition=definition,
            node=node,
            actor=actor_of(request),
            force_reason=reason,
            stop=[uid[:16].replace("\x00", "") for uid in request.POST.getlist("stop")],
        )
    except LaunchRefused as refused:
        return _refusal(request, refused, definition, node)
    if request.POST.get("go") == "launch":
        return HttpResponseClientRedirect(launch.get_absolute_url())
    said = _started_words(launch, created, definition.name, str(node))
    return trigger_client_event(launch_done(launch, said), "dialog-close")


@require_POST
@role_required(Role.OPERATOR)
def launch_stop_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Ask for a launch to end."""
    launch = get_object_or_404(Launch, uid=uid)
    try:
        launch = launch_stop(launch=launch, actor=actor_of(request), confirm=request.POST.get("confirm", ""))
    except LaunchRefused as refused:
        return _refusal(request, refused)
    return launch_done(
        launch,
        f"{launch.definition_slug} is stopping" if launch.live else f"{launch.definition_slug} is stopped",
    )


@require_POST
@role_required(Role.OPERATOR)
def launch_restart_view(request: HttpRequest, uid: str) -> HttpResponse:
    """Ask for a new attempt of a live launch."""
    launch = get_object_or_404(Launch, uid=uid)
    try:
        launch = launch_restart(launch=launch, actor=actor_of(request))
    except LaunchRefused as refused:
        return _refusal(request, refused)
    return launch_done(launch, f"{launch.definition_slug} is restarting")


def _started_words(launch: Launch, created: bool, name: str, node: str) -> str:
    if not created:
        return f"{name} runs on {node} already"
    return f"{name} starts once there is room" if launch.waits_for else f"{name} is starting on {node}"


def launch_done(launch: Launch, sentence: str) -> HttpResponse:
    """Answer with a toast, and have everything that shows this launch fetched again."""
    response = HttpResponse(status=204)
    changed = {
        "launch": launch.uid,
        "definition": launch.definition_slug,
        "node": launch.node_name,
        "state": launch.state,
        "html_stale": True,
    }
    trigger_client_event(response, "launch-changed", changed)
    return trigger_client_event(response, "toast", {"message": sentence, "tone": "good"})


def _refusal(
    request: HttpRequest,
    refused: LaunchRefused,
    definition: ModelDefinition | None = None,
    node: Node | None = None,
) -> HttpResponse:
    """Answer 409: the sentence beside the button; for short memory a dialog that offers to start anyway."""
    context: dict[str, Any] = {"refused": refused, "definition": definition, "node": node}
    if refused.code != "memory_short" or definition is None or node is None:
        return render(request, "models_app/_refusal.html", context, status=409)
    context["fit"] = refused.data["sum"]
    response = render(request, "models_app/_memory_dialog.html", context, status=409)
    return reswap(retarget(response, "#dialog-body"), "innerHTML")


@never_cache
@require_safe
def definition_memory(request: HttpRequest, slug: str) -> HttpResponse:
    """Whether a definition fits on `?node=` now, as the content of a dialog: the sum, line by line."""
    definition = get_object_or_404(ModelDefinition, slug=slug)
    node = get_object_or_404(Node, name=request.GET.get("node", ""))
    context = {
        "definition": definition,
        "node": node,
        "fit": memory_fit(definition, node),
        "live": launch_live(definition, node),
    }
    return render(request, "models_app/_memory_dialog.html", context)


# Pieces that are fetched again when a launch changes ------------------------------


@never_cache
@require_safe
def definition_card(request: HttpRequest, slug: str) -> HttpResponse:
    """One definition as a card for `?node=`, or with `?as=row` as a row of the list of models."""
    definition = get_object_or_404(ModelDefinition, slug=slug)
    if request.GET.get("as") == "row":
        context = {"card": definition_card_of(definition), "nodes": Node.objects.all()}
        return render(request, "models_app/_definition_row.html", context)
    node = get_object_or_404(Node, name=request.GET.get("node", ""))
    context = {"card": definition_card_of(definition, node), "node": node}
    return render(request, "models_app/_model_card.html", context)


@never_cache
@require_safe
def launch_row(request: HttpRequest, uid: str) -> HttpResponse:
    """One launch as a row of the history."""
    row = get_object_or_404(launches_filtered(), uid=uid)
    return render(request, "models_app/_launch_row.html", {"launch": row})


@never_cache
@require_safe
def launch_panel(request: HttpRequest, uid: str) -> HttpResponse:
    """The state of one launch, and beside it (out of band) its facts and timeline."""
    context = _launch_context(_launch_or_404(uid)) | {"oob": True}
    panel = render(request, "models_app/_launch_panel.html", context)
    panel.write(render(request, "models_app/_launch_side.html", context).content)
    return panel


# Pages --------------------------------------------------------------------------


@never_cache
@require_safe
def launches(request: HttpRequest) -> HttpResponse:
    """The history of launches, filtered and in pages."""
    form = LaunchFilterForm(request.GET)
    filters = form.filters()
    context = {
        "form": form,
        "page": Paginator(launches_filtered(**filters), PAGE_SIZE).get_page(request.GET.get("page")),
        "query": urlencode(filters) + "&" if filters else "",
    }
    return render(request, "models_app/launches.html", context)


@never_cache
@require_safe
def launch(request: HttpRequest, uid: str) -> HttpResponse:
    """One launch: its state, its log, what was run, and how it went."""
    row = _launch_or_404(uid)
    context = _launch_context(row)
    context |= {
        "line": ranks_text(ranks) if (ranks := launch_lines(row)) else "",
        "notes": notes_once(ranks),
        **_log_context(row, request.GET.get("attempt", "")),
    }
    return render(request, "models_app/launch.html", context)


def _log_context(row: Launch, attempt: str) -> dict[str, Any]:
    """Whose log is shown: that of an earlier attempt if asked for, else the newest one's.

    Once a container has ended the page brings the end of its log along: of its
    stored pieces where they reach that far, with times and colours, else what its end brought.
    """
    newest = newest_member(row)
    asked = (m for a in row.attempts.all() if str(a.number) == attempt for m in a.members.all())
    member = next(asked, newest)
    live = row.live and member == newest
    page = log_page(member, count=KEPT_LOG_LINES) if member and not live and log_is_whole(member) else None
    kept: list[Any] = [asdict(line) for line in page.lines] if page else []
    if member and not live and not page:
        kept = [{"text": text} for text in log_rest(member, KEPT_LOG_LINES)]
    return {
        "log_member": member,
        "log_live": live,
        "log_pinned": member != newest,
        "kept_log": {"lines": kept, "before_line": page.before_line if page else None, "whole": bool(page)},
    }


def _launch_or_404(uid: str) -> Launch:
    return get_object_or_404(launches_filtered(), uid=uid)


def _launch_context(row: Launch) -> dict[str, Any]:
    failed = row.state in FAILURE_STATES
    shows_progress = row.state in STARTING_STATES and not row.adopted_foreign
    progress = launch_progress(row) if shows_progress else None
    events = list(row.events.all()[:EVENTS_SHOWN])  # newest first
    degraded = row.state == LaunchState.DEGRADED
    return {
        "launch": row,
        "member": newest_member(row),
        "node_names": launch_node_names(row),
        "figures": engine_figures(engine_of_launch(row)) if row.is_serving else [],
        "progress": progress,
        "times": progress.times if progress else start_times(row),
        "attempts": list(row.attempts.all()),
        "events": events,
        "trouble": next((one.message for one in events if degraded and one.to_state == row.state), ""),
        "failure": failure_of(row),
        "comparison": comparison_of(row),
        "last_log": "\n".join(log_tail(row, FAILURE_LOG_LINES)) if failed else "",
    }
