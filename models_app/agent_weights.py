"""The node's side of `models.weights_look`: reads caches, journals what control does not know yet.

No ORM, no Django.
"""

from __future__ import annotations

import threading
from typing import Any

import structlog
from celery import shared_task

from models_app.node.facts import FactJournal
from models_app.node.weights_look import Weights, answer_digest
from sparkweb.node_link.journal import JournalUnavailable

log = structlog.get_logger(__name__)

ITEMS_MOST = 200


class WeightsDesk:
    """Answers control's questions about models, one batch at a time."""

    def __init__(self, weights: Weights, journal: FactJournal) -> None:
        self._weights, self._journal = weights, journal
        self._one_at_a_time = threading.Lock()

    def start(self) -> None:
        """Take commands from now on."""
        global _desk
        _desk = self

    def look(self, items: Any) -> int:
        """Look each model up and journal `weights_seen` where the answer is new. How many were."""
        told = 0
        with self._one_at_a_time:
            for item in items[:ITEMS_MOST] if isinstance(items, list) else []:
                if isinstance(item, dict) and self._tell(item):
                    told += 1
        return told

    def _tell(self, item: dict[str, Any]) -> bool:
        names = {name: str(item.get(name) or "") for name in ("engine", "model_id", "file")}
        answer = self._weights.look(**names)
        if answer_digest(answer) == item.get("known"):
            return False
        try:
            self._journal.add("weights_seen", {**names, "answer": answer})
        except JournalUnavailable as trouble:
            log.warning("weights not told", model=names["model_id"][:100], reason=str(trouble))
            return False
        return True


_desk: WeightsDesk | None = None


@shared_task(name="models.weights_look", ignore_result=True)
def weights_look(items: list[dict[str, Any]]) -> None:
    """Say what this node has of the models that control asks about."""
    if _desk is None:
        raise RuntimeError("this process is no agent: WeightsDesk.start() was not called")
    _desk.look(items)
