"""Folders that transcripts are read from: added, left, removed. What was read of them stays."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from sparkweb import config
from sparkweb.accounts.actor import Actor, audit
from sparkweb.accounts.models import Role, User
from sparkweb.accounts.services import ADMIN_NAME
from sparkweb.refusal import Refused
from transcripts_app.models_requests import TranscriptSource

PATH_MOST = 1000


class SourceRefused(Refused):
    """A folder that cannot be a source."""


def sources_followed(node: str) -> list[TranscriptSource]:
    """What the archive process on `node` follows: its own sources, and those that other nodes sent of."""
    rows = TranscriptSource.objects.filter(enabled=True, removed_at=None).select_related("owner")
    root = Path(settings.DATA_DIR) / "transcript-nodes"
    return [row for row in rows if row.node == node or (root / str(row.pk)).is_dir()]


def sources_default(node: str) -> None:
    """Make a source of each folder that SPARKWEB_TRANSCRIPTS names, once it exists; never a second time."""
    folders = [path for path in config.TRANSCRIPTS if path.is_dir()]
    if not folders:
        return
    known = set(TranscriptSource.objects.filter(node=node).values_list("path", flat=True))
    for path in folders:
        text = str(path.resolve())
        if text not in known and len(text) <= PATH_MOST:
            TranscriptSource.objects.get_or_create(
                node=node, path=text, defaults={"owner": owner_default(), "added_by": "SPARKWEB_TRANSCRIPTS"}
            )


def owner_default() -> User | None:
    """Whose a source is that nobody added: the first user's, else that of the first admin."""
    admins = User.objects.filter(role=Role.ADMIN, is_active=True).order_by("pk")
    return admins.filter(username=ADMIN_NAME).first() or admins.first()


@transaction.atomic
def source_add(*, path: str, actor: Actor, owner: User | None = None) -> TranscriptSource:
    """Read a folder of the machine that SparkWeb runs on. Raises SourceRefused."""
    text = _path_checked(path)
    known = TranscriptSource.objects.filter(node=settings.NODE_NAME, path=text).first()
    if known and known.removed_at is None:
        raise SourceRefused(f"{text} is a source already.", "source_known")
    source = known or TranscriptSource(node=settings.NODE_NAME, path=text)
    source.owner, source.enabled, source.removed_at = owner or actor.user, True, None
    source.added_by, source.added_at = actor.label, timezone.now()
    source.save()
    audit(actor, "transcript_source_add", text, owner=source.owner.username if source.owner else "")
    return source


@transaction.atomic
def source_enable(*, source: TranscriptSource, enabled: bool, actor: Actor) -> TranscriptSource:
    """Read it, or leave it for now."""
    if source.enabled != enabled:
        source.enabled = enabled
        source.save(update_fields=["enabled"])
        audit(actor, "transcript_source_enable" if enabled else "transcript_source_disable", str(source))
    return source


@transaction.atomic
def source_owner(*, source: TranscriptSource, owner: User | None, actor: Actor) -> TranscriptSource:
    """Say whose projects it holds."""
    if source.owner != owner:
        source.owner = owner
        source.save(update_fields=["owner"])
        audit(actor, "transcript_source_owner", str(source), owner=owner.username if owner else "")
    return source


@transaction.atomic
def source_remove(*, source: TranscriptSource, actor: Actor) -> None:
    """Read it no more, and show it no more. What was read of it stays."""
    source.removed_at = timezone.now()
    source.save(update_fields=["removed_at"])
    audit(actor, "transcript_source_remove", str(source))


def _path_checked(path: str) -> str:
    if "\0" in path or not path.strip():
        raise SourceRefused("Name a folder, like /home/ada/.claude/projects.", "source_path")
    given = Path(path.strip())
    try:
        folder = given.expanduser().resolve()
        usable = folder.is_absolute() and folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceRefused(f"{path[:200]} cannot be used: {error}.", "source_path") from None
    if not usable:
        raise SourceRefused(f"{folder} is no folder of this machine.", "source_path")
    text = str(folder)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SourceRefused("The folder's name is no UTF-8.", "source_path") from None
    if len(text) > PATH_MOST:
        raise SourceRefused(f"The folder's name is longer than {PATH_MOST} characters.", "source_path")
    data = Path(settings.DATA_DIR).resolve()
    if folder == data or data in folder.parents or folder in data.parents:
        raise SourceRefused(f"{text} holds SparkWeb's own data.", "source_path")
    return text
