"""What pages mask: likely secrets unless the project's owner chose otherwise; who may look behind.

Pages draw `display_mask(user, project)(record)` in place of the record, and `….text(title)` in place of
titles, previews and snippets.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import Role, User
from transcripts_app.archive.models import Project, Session
from transcripts_app.models import ProjectAccess
from transcripts_app.models_redaction import ProjectMask
from transcripts_app.redaction.engine import Redactor
from transcripts_app.redaction.profiles import NONE, SECRETS, profile_of, rules_of
from transcripts_app.redaction.rules import Rules, likely_rules

REVEAL_SECONDS = 900
SESSION_NAME = "transcripts_revealed"


class DisplayMask:
    """Masks what a page draws. `is_on` False: everything is drawn as it was."""

    def __init__(self, rules: Rules | None) -> None:
        self.is_on = rules is not None
        self._redactor = Redactor(rules) if rules else None

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a record as it may be drawn."""
        return self._redactor.record(record) if self._redactor else record

    def text(self, text: str) -> str:
        """Return a title, preview or snippet as it may be drawn."""
        return self._redactor.text(text) if self._redactor and text else text

    @property
    def masked(self) -> int:
        """How much was masked so far."""
        return self._redactor.counts.total() if self._redactor else 0


def display_mask(user: User, project: Project | None, *, revealed: bool = False) -> DisplayMask:
    """Return what a page of this project masks for this user.

    `revealed` comes from `is_revealed(request, session)`; who may not reveal sees masked pages regardless.
    Without a project (lists over many) likely secrets are masked.
    """
    if revealed and project is not None and may_reveal(user, project):
        return DisplayMask(None)
    if project is None:
        return DisplayMask(likely_rules())
    name = mask_name(project)
    if name == NONE:
        return DisplayMask(None)
    return DisplayMask(rules_of(profile_of(name)) or likely_rules())


def mask_name(project: Project) -> str:
    """The name of the profile that this project's pages apply, or none."""
    row = ProjectMask.objects.filter(project_key=project.key).first()
    return row.profile if row else SECRETS


def may_reveal(user: User, project: Project) -> bool:
    """Whether a user may see what is masked and choose what is: the project's owner, and admins."""
    if user.has_role(Role.ADMIN):
        return True
    access = ProjectAccess.objects.filter(project_key=project.key).first()
    if access and access.owner_id:
        return access.owner_id == user.pk
    owners = set(Session.objects.filter(project=project).values_list("source__owner", flat=True).distinct())
    return owners == {user.username}


def is_revealed(request: HttpRequest, session: Session) -> bool:
    """Whether this login asked within a quarter of an hour to see this session unmasked."""
    until = request.session.get(SESSION_NAME, {}).get(session.key, 0)
    return bool(until > time.time())


def reveal(request: HttpRequest, session: Session, actor: Actor) -> None:
    """Show a session unmasked to this login for a quarter of an hour; the audit says so."""
    now = time.time()
    kept = {key: until for key, until in request.session.get(SESSION_NAME, {}).items() if until > now}
    request.session[SESSION_NAME] = kept | {session.key: now + REVEAL_SECONDS}
    audit(actor, "transcript_reveal", session.key, project=session.project.key)


def conceal(request: HttpRequest, session: Session) -> None:
    """Mask it again."""
    kept = {key: until for key, until in request.session.get(SESSION_NAME, {}).items() if key != session.key}
    request.session[SESSION_NAME] = kept


@transaction.atomic
def project_mask_set(*, project: Project, profile: str, actor: Actor) -> ProjectMask:
    """Choose what this project's pages mask: a profile's name, or none."""
    row, _ = ProjectMask.objects.update_or_create(
        project_key=project.key, defaults={"profile": profile, "changed_by": actor.user}
    )
    audit(actor, "transcript_mask", project.key, profile=profile)
    return row
