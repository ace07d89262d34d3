"""What pages mask: likely secrets unless the project's owner chose otherwise; who may look behind.

Pages draw `display_mask(user, project)(record)` in place of the record, and `….text(title)` in place of
titles, previews and snippets.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, cast

from django.db import transaction
from django.http import HttpRequest

from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import Role, User
from transcripts_app.archive.models import Project, Session
from transcripts_app.models import ProjectAccess
from transcripts_app.models_redaction import ProjectMask
from transcripts_app.redaction.engine import Redactor
from transcripts_app.redaction.lines import line_masked
from transcripts_app.redaction.profiles import NONE, SECRETS, profile_of, rules_of
from transcripts_app.redaction.rules import Rules, likely_rules

REVEAL_SECONDS = 900
SESSION_NAME = "transcripts_revealed"


class DisplayMask:
    """Masks what a page draws. `is_on` False: everything is drawn as it was."""

    do_not_call_in_templates = True

    def __init__(self, rules: Rules | None) -> None:
        self.is_on = rules is not None
        self.redactor = Redactor(rules) if rules else None

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a record as it may be drawn."""
        return self.redactor.record(record) if self.redactor else record

    def value(self, value: Any) -> Any:
        """Return any JSON value as it may be drawn."""
        return self.redactor.value(value) if self.redactor else value

    def line(self, data: bytes) -> bytes:
        """Return a raw line as it may be given away."""
        return line_masked(data, self.redactor) if self.redactor else data

    def text(self, text: str) -> str:
        """Return a title, preview or snippet as it may be drawn."""
        return self.redactor.text(text) if self.redactor and text else text

    @property
    def masked(self) -> int:
        """How much was masked so far."""
        return self.redactor.counts.total() if self.redactor else 0


class Masks:
    """What masks each project's texts, for pages over many projects."""

    def __init__(self) -> None:
        self._names = dict(ProjectMask.objects.values_list("project_key", "profile"))
        self._known: dict[str, DisplayMask] = {}

    def of(self, project: Project | None) -> DisplayMask:
        """Return a project's mask; without a project that of likely secrets."""
        name = self._names.get(project.key, SECRETS) if project else SECRETS
        if name not in self._known:
            self._known[name] = _named_mask(name)
        return self._known[name]


def session_mask(request: HttpRequest, session: Session, *, names: bool = True) -> DisplayMask:
    """Mask a session's own texts in place (its row is never saved) and return what masks its records.

    Without `names` its project keeps its path: for pages that compute with it.
    """
    user = cast(User, request.user)
    mask = display_mask(user, session.project, revealed=is_revealed(request, session))
    session_texts_mask(session, mask, names=names)
    session.mask = mask  # type: ignore[attr-defined]
    return mask


def mask_of(session: Session) -> DisplayMask:
    """What masks a session's records: as its page chose, else likely secrets."""
    kept = getattr(session, "mask", None)
    return kept if isinstance(kept, DisplayMask) else DisplayMask(likely_rules())


def sessions_mask(sessions: Iterable[Session]) -> None:
    """Mask the texts of a list's sessions in place, each as its project says."""
    masks = Masks()
    for row in sessions:
        session_texts_mask(row, masks.of(row.project))


def session_texts_mask(session: Session, mask: DisplayMask, *, names: bool = True) -> None:
    """Mask what a session's row says, in place."""
    for name in ("title", "first_prompt", "branch"):
        setattr(session, name, mask.text(getattr(session, name)))
    session.model_names = [mask.text(str(one)) for one in session.model_names]
    if names:
        session.project.path = mask.text(session.project.path)
        session.project.name = mask.text(session.project.name)


def mask_for_call(request: Any, session: Session, actor: Actor) -> DisplayMask:
    """What an API call's answer masks; `?reveal=true` of an owner or admin masks nothing, and is audited."""
    user = cast(User, request.user)
    if request.query_params.get("reveal") == "true" and may_reveal(user, session.project):
        audit(actor, "transcript_reveal", session.key, project=session.project.key)
        return DisplayMask(None)
    return display_mask(user, session.project)


def _named_mask(name: str) -> DisplayMask:
    return DisplayMask(None if name == NONE else rules_of(profile_of(name)) or likely_rules())


def display_mask(user: User, project: Project | None, *, revealed: bool = False) -> DisplayMask:
    """Return what a page of this project masks for this user.

    `revealed` comes from `is_revealed(request, session)`; who may not reveal sees masked pages regardless.
    Without a project (lists over many) likely secrets are masked.
    """
    if revealed and project is not None and may_reveal(user, project):
        return DisplayMask(None)
    if project is None:
        return DisplayMask(likely_rules())
    return _named_mask(mask_name(project))


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
