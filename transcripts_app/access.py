"""Who may see what of the archive. Every page, call and export asks here; what is hidden is not there."""

from __future__ import annotations

from django.db.models import Q

from sparkweb.accounts.models import Role, User
from transcripts_app.archive.models import Project, Session
from transcripts_app.models import ProjectAccess, Visibility


def projects_visible(user: User) -> set[int] | None:
    """Return the ids of the projects that a user may see; None means all, as for admins."""
    if user.has_role(Role.ADMIN):
        return None
    seen = Q(owner=user) | Q(visibility=Visibility.ALL) | Q(visibility=Visibility.USERS, users=user)
    keys = set(ProjectAccess.objects.filter(seen).values_list("project_key", flat=True))
    closed = set(ProjectAccess.objects.exclude(owner=None).values_list("project_key", flat=True)) - keys
    own = Session.objects.filter(source__owner=user.username).values("project")
    projects = Project.objects.filter(Q(key__in=keys) | Q(pk__in=own)).exclude(key__in=closed)
    return set(projects.values_list("pk", flat=True))


def session_of(user: User, key: str) -> Session | None:
    """Return a session that a user may see; None for one that is not there, to them."""
    session = Session.objects.select_related("project", "source").filter(key=key[:16]).first()
    visible = projects_visible(user)
    return session if session and (visible is None or session.project_id in visible) else None


def project_of(user: User, key: str) -> Project | None:
    """Return a project that a user may see; None for one that is not there, to them."""
    project = Project.objects.filter(key=key[:16]).first()
    visible = projects_visible(user)
    return project if project and (visible is None or project.pk in visible) else None
