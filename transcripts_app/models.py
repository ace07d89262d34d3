"""What the main database knows of transcripts: who may see what. It refers to the archive by key."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Visibility(models.TextChoices):
    OWNER = "owner", "Its owner and admins"
    USERS = "users", "Chosen users"
    ALL = "all", "Every user"


class ProjectAccess(models.Model):
    """Who may see a project of the archive. Without a row: admins, and the owner of its source."""

    project_key = models.CharField(max_length=16, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="owned_projects"
    )
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.OWNER)
    users = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="shared_projects")

    def __str__(self) -> str:
        return f"{self.project_key}: {self.get_visibility_display()}"


from transcripts_app.models_export import TranscriptExport  # noqa: E402, F401
from transcripts_app.models_keeping import SessionNote, SessionStar, SessionTag  # noqa: E402, F401
from transcripts_app.models_prices import ModelPrice  # noqa: E402, F401
from transcripts_app.models_redaction import ProjectMask, RedactionProfile  # noqa: E402, F401
from transcripts_app.models_requests import ArchiveRequest, RequestState, TranscriptSource  # noqa: E402, F401
from transcripts_app.models_search import RecentSearch, SavedSearch  # noqa: E402, F401
from transcripts_app.models_shares import ShareLink  # noqa: E402, F401
from transcripts_app.models_uploads import TranscriptUpload  # noqa: E402, F401
