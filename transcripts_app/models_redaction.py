"""What owners say about masking: their profiles, and what each project's pages mask."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models


class RedactionProfile(models.Model):
    """Rules that are applied together when pages are shown, links shared and transcripts exported."""

    name = models.SlugField(max_length=40, unique=True)
    about = models.CharField(max_length=200, blank=True)
    rules = models.JSONField(default=list)  # names of built-in rules
    patterns = models.JSONField(default=list)  # [{"name": …, "pattern": …}]
    changed_by = models.CharField(max_length=160, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Own patterns as (name, pattern)."""
        return [(one["name"], one["pattern"]) for one in self.patterns]


class ProjectMask(models.Model):
    """What the pages of a project mask. Without a row: likely secrets."""

    project_key = models.CharField(max_length=16, unique=True)
    profile = models.CharField(max_length=40)  # a profile's name; "none": nothing is masked
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.project_key}: {self.profile}"


def frozen(profile: RedactionProfile) -> dict[str, Any]:
    """A profile as it is now, as JSON: what a share or an export keeps of it."""
    return {"name": profile.name, "rules": profile.rules, "patterns": profile.patterns}
