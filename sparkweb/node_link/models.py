"""What control remembers about facts from nodes: how far it got, and what it could not apply."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class JournalCursor(models.Model):
    """The last sequence of a node's journal whose fact is applied and committed.

    It moves in the transaction that applies the fact: that is what makes a fact count once.
    A node has one row per journal id it ever had.
    """

    node_name = models.CharField(max_length=40)
    journal = models.CharField(max_length=36)
    applied = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["node_name", "journal"], name="journal_cursor_once"),
        ]

    def __str__(self) -> str:
        return f"{self.node_name} {self.journal[:8]}: {self.applied}"


class RejectedFact(models.Model):
    """A fact that no handler could apply: kept whole, so that nothing of it is lost."""

    node_name = models.CharField(max_length=40)
    journal = models.CharField(max_length=36)
    sequence = models.PositiveBigIntegerField()
    verb = models.CharField(max_length=64)
    payload = models.TextField(help_text="The JSON text as the node signed it.")
    reason = models.TextField()
    rejected_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-rejected_at"]

    def __str__(self) -> str:
        return f"{self.node_name} {self.verb} {self.sequence}: {self.reason[:80]}"
