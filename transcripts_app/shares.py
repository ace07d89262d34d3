"""Share links: made and revoked by who says who sees the project; opened by whoever has them."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from sparkweb.accounts.actor import Actor, audit
from sparkweb.refusal import Refused
from transcripts_app.access import session_of
from transcripts_app.archive.models import Session
from transcripts_app.keeping import may_share
from transcripts_app.models_redaction import frozen
from transcripts_app.models_shares import ShareLink
from transcripts_app.redaction.profiles import NONE, SECRETS, profile_of, rules_of
from transcripts_app.redaction.rules import Rules, likely_rules

DAYS_MOST = 365
LINKS_MOST = 50


class ShareRefused(Refused):
    """A link that cannot be made."""

    status = 400


@transaction.atomic
def share_create(*, session: Session, days: int, mask: str, actor: Actor) -> tuple[ShareLink, str]:
    """Make a link and return it with its token, which is shown this once and not kept.

    The caller has asked `may_share`. Raises ShareRefused.
    """
    assert actor.user is not None
    if not 1 <= days <= DAYS_MOST:
        raise ShareRefused(f"A link lasts 1 to {DAYS_MOST} days.", "share_days")
    kept: dict[str, Any] = {"name": mask}
    if mask not in (NONE, SECRETS):
        profile = profile_of(mask)
        if profile is None:
            raise ShareRefused(f"There is no redaction profile {mask[:40]!r}.", "share_mask")
        kept = frozen(profile)
    live = ShareLink.objects.filter(session_key=session.key, revoked_at=None, expires_at__gt=timezone.now())
    if live.count() >= LINKS_MOST:
        raise ShareRefused(f"A session has at most {LINKS_MOST} links.", "shares_many")
    token = secrets.token_urlsafe(32)
    link = ShareLink.objects.create(
        token_hash=ShareLink.hash_of(token), prefix=token[:6], session_key=session.key, mask=kept,
        created_by=actor.user, expires_at=timezone.now() + timedelta(days=days),
    )  # fmt: skip
    audit(actor, "transcript_share", session.key, link=link.prefix, days=days, mask=mask)
    return link, token


@transaction.atomic
def share_revoke(*, link: ShareLink, actor: Actor) -> None:
    """End a link at once. Again changes nothing."""
    if link.revoked_at is None:
        link.revoked_at = timezone.now()
        link.save(update_fields=["revoked_at"])
        audit(actor, "transcript_share_revoke", link.session_key, link=link.prefix)


def share_open(token: str) -> tuple[ShareLink, Session] | None:
    """The session that a token shows; None for one that shows nothing (any more).

    A link is worth what its maker may still do: nothing once they see or share the project no more.
    """
    if not 20 <= len(token) <= 100 or not token.isascii():
        return None
    rows = ShareLink.objects.select_related("created_by").filter(token_hash=ShareLink.hash_of(token))
    link = rows.first()
    if link is None or not link.is_live or not link.created_by.is_active:
        return None
    session = session_of(link.created_by, link.session_key)
    if session is None or not may_share(link.created_by, session.project):
        return None
    ShareLink.objects.filter(pk=link.pk).update(opened=F("opened") + 1, opened_at=timezone.now())
    return link, session


def share_rules(link: ShareLink) -> Rules | None:
    """What a link masks; None: nothing."""
    name = link.mask.get("name", SECRETS)
    if name == NONE:
        return None
    return likely_rules() if name == SECRETS else rules_of(link.mask)
