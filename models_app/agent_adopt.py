"""The commands about containers that SparkWeb did not start: adopt one, give it back. No ORM, no Django."""

from __future__ import annotations

from typing import Any

import structlog
from celery import shared_task

from models_app.node.adopted import AdoptOrder
from models_app.node.adopting import Adoptions

log = structlog.get_logger(__name__)

_adoptions: Adoptions | None = None


def adoptions_take(adoptions: Adoptions) -> None:
    """Make these the ones that the tasks below use."""
    global _adoptions
    _adoptions = adoptions


def _running() -> Adoptions:
    if _adoptions is None:
        raise RuntimeError("this process is no agent: NodeModels.start() was not called")
    return _adoptions


@shared_task(name="models.container_adopt", ignore_result=True)
def container_adopt(order: dict[str, Any]) -> None:
    """Look after a container that somebody else started."""
    try:
        read = AdoptOrder.from_json(order)
    except (KeyError, TypeError) as error:
        log.error("adoption dropped: the order cannot be read", reason=repr(error))
        return
    _running().adopt(read)


@shared_task(name="models.container_release", ignore_result=True)
def container_release(launch: str, member: str, generation: int) -> None:
    """Leave a container alone that was adopted."""
    _running().release(launch, member, generation)
