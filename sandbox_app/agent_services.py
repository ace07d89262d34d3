"""The agent's commands for services: Celery tasks. No ORM, no Django."""

from __future__ import annotations

from celery import shared_task

from sandbox_app.node.service_desk import ServiceDesk

_desk: ServiceDesk | None = None


def services_take(desk: ServiceDesk) -> None:
    """Make this the desk that the tasks below use."""
    global _desk
    _desk = desk


def _running() -> ServiceDesk:
    if _desk is None:
        raise RuntimeError("this process is no agent: services_take() was not called")
    return _desk


@shared_task(name="service.apply", ignore_result=True)
def apply(service: str, generation: int, run: bool) -> None:
    """Bring a service up or take it down. Twice: nothing more happens."""
    _running().apply(service, generation, run)


@shared_task(name="service.logs", ignore_result=True)
def logs(service: str, request: str, lines: int = 200) -> None:
    """Send the last lines of a service to its stream. Twice: they are there twice."""
    _running().logs(service, request, lines)
