"""Searches that people keep, in the main database. What they find is looked up anew each time."""

from __future__ import annotations

from django.conf import settings
from django.db import models

QUERY_MOST = 1000


class SavedSearch(models.Model):
    """A search of one person, under a name."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_searches")
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=QUERY_MOST)
    sort = models.CharField(max_length=8, default="", blank=True)  # rank, newest, oldest; "" as fits
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="saved_search_once")]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class RecentSearch(models.Model):
    """What one person searched for lately, to be found again."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recent_searches")
    query = models.CharField(max_length=QUERY_MOST)
    used_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "query"], name="recent_search_once")]
        ordering = ["-used_at"]

    def __str__(self) -> str:
        return self.query
