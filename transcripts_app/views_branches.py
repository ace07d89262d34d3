"""Branches of a session, and two of them side by side from where they part."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sparkweb.accounts.models import User
from transcripts_app.insight_masks import Masks
from transcripts_app.insight_pages import masked_session_or_404, number_of
from transcripts_app.selectors_branches import Entry, Tree, Way, compare, tree_of


@never_cache
@require_safe
def transcript_branches(request: HttpRequest, key: str) -> HttpResponse:
    """Every branch, and two compared: `?left=` and `?right=`, else the active one and the newest other."""
    session, masks = masked_session_or_404(request, key)
    tree = tree_of(cast(User, request.user), session)
    for way in tree.ways:
        way_masked(masks, way)
    left, right = ways_chosen(tree, request.GET.get("left"), request.GET.get("right"))
    context: dict[str, object] = {"session": session, "tree": tree, "left": left, "right": right}
    if left is not None and right is not None:
        fork, ours, theirs = compare(tree, left, right)
        masks.record(fork)
        for entry in (*ours.entries, *theirs.entries):
            entry_masked(masks, entry)
        context |= {"fork": fork, "sides": [ours, theirs]}
    return render(request, "transcripts_app/branches.html", context)


def ways_chosen(tree: Tree, left: str | None, right: str | None) -> tuple[Way | None, Way | None]:
    """Return the two branches to compare; none where there is but one, or one is chosen twice."""
    if len(tree.ways) < 2:
        return None, None
    wanted = [number_of(left), number_of(right)]
    active = next((way for way in tree.ways if way.branch.is_active), tree.ways[0])
    ours = tree.way(wanted[0]) if wanted[0] is not None else active
    ours = ours or active
    theirs = tree.way(wanted[1]) if wanted[1] is not None else None
    if theirs is None or theirs is ours:
        theirs = next((way for way in reversed(tree.ways) if way is not ours), None)
    return ours, theirs


def way_masked(masks: Masks, way: Way) -> None:
    """Mask what is told of a branch, in place."""
    mask = masks.of(way.session.project)
    masks.session(way.session)
    masks.record(way.record)
    way.files = [mask.text(path) for path in way.files]


def entry_masked(masks: Masks, entry: Entry) -> None:
    """Mask what is told of a record of a branch, in place."""
    session = entry.record.session
    entry.text = masks.of(session.project if session is not None else None).text(entry.text)
    masks.session(session)
