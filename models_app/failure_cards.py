"""The failure card of a launch, its correction, and how it differs from the last good run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from models_app.comparison import Difference, Run, differences
from models_app.conditions import settings_that_count
from models_app.engines.registry import engine_kind
from models_app.exceptions import LaunchRefused
from models_app.failures.cards import Failed, FailureCard
from models_app.failures.classify import failure_classify
from models_app.members import launch_nodes, newest_members
from models_app.models import Launch, LaunchMember, LaunchState
from models_app.planning import with_overlay
from models_app.services import launch_create
from sparkweb.accounts.actor import Actor

FAILED_STATES = (LaunchState.FAILED, LaunchState.PARKED)
CHANGED_SINCE = "The definition's settings were changed since, so no correction is offered."


def failure_of(launch: Launch) -> FailureCard | None:
    """Return why the newest attempt failed; None for a launch that has not.

    Uses prefetched attempts and members. A launch that waits for its next
    attempt has failed too.
    """
    if not (launch.state in FAILED_STATES or launch.retry_at):
        return None
    members = newest_members(launch)
    member = next((one for one in members if one.exit_code), members[0] if members else None)
    card = failure_classify(
        Failed(
            code=launch.failure_code,
            reason=launch.failure_reason,
            exit_code=member.exit_code if member else None,
            oom_killed=bool(member and member.oom_killed),
            log=member.last_log.splitlines() if member else (),
            settings=(member.conditions.get("settings") or {}) if member else {},
            known=engine_kind(launch.engine).settings,
        )
    )
    return _still_fits(launch, card)


def _still_fits(launch: Launch, card: FailureCard) -> FailureCard:
    """Withdraw a correction whose settings are no longer those that failed."""
    if not card.changes:
        return card
    if launch.live or launch.definition is None or launch.node is None:
        return replace(card, changes=())
    now = settings_that_count(with_overlay(launch.definition, launch.settings_overlay))
    if all(now.get(change.name) == change.before for change in card.changes):
        return card
    return replace(card, changes=(), advice=f"{card.advice} {CHANGED_SINCE}")


def launch_correct(*, launch: Launch, actor: Actor, force_reason: str = "") -> tuple[Launch, bool]:
    """Start a failed launch's definition again with the correction of its failure card.

    The definition stays as it is: the changes belong to the new launch alone, which
    says so. Raises LaunchRefused no_correction, and as launch_create.
    """
    card = failure_of(launch)
    nodes = launch_nodes(launch)
    if card is None or not card.changes or launch.definition is None or not nodes:
        raise LaunchRefused(f"There is no correction for {launch} to start with", "no_correction")
    return launch_create(
        definition=launch.definition,
        node=nodes[0],
        followers=nodes[1:],
        actor=actor,
        force_reason=force_reason,
        overlay=launch.settings_overlay | card.overlay,
        corrects=launch.uid,
    )


# The last good run ----------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """The newest member of a launch beside the last one before it that became ready."""

    good: LaunchMember
    differences: list[Difference]

    @property
    def good_launch(self) -> Launch:
        return self.good.attempt.launch


def comparison_of(launch: Launch) -> Comparison | None:
    """Compare with the last good run of the same definition on the same node; None if there is none."""
    now = next(iter(newest_members(launch)), None)
    if now is None or launch.adopted_foreign:
        return None
    good = (
        LaunchMember.objects.filter(
            attempt__launch__definition_slug=launch.definition_slug,
            node=now.node,
            rank=now.rank,
            attempt__ready_at__isnull=False,
            attempt__launch__adopted_foreign=False,
            pk__lt=now.pk,
        )
        .exclude(attempt=now.attempt_id)
        .select_related("attempt__launch")
        .order_by("-pk")
        .first()
    )
    return Comparison(good, differences(_run(good), _run(now))) if good else None


def _run(member: LaunchMember) -> Run:
    conditions: dict[str, Any] = member.conditions
    return Run(member.image, member.image_digest, member.spec, conditions)
