"""What a caller of the API may do: the role of the user, cut down by the scopes of the key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from sparkweb.accounts.models import RANK, SCOPE_RANK, ApiKey, Role, Scope, User

if TYPE_CHECKING:  # DRF loads this module while it loads its views
    from rest_framework.views import APIView

SCOPE_OF_ROLE = {Role.VIEWER: Scope.READ, Role.OPERATOR: Scope.OPERATE, Role.ADMIN: Scope.ADMIN}


def scopes_rank(scopes: list[str]) -> int:
    """Return the highest rank among scopes; 0 for scopes that open nothing here."""
    return max((SCOPE_RANK.get(Scope(scope), 0) for scope in scopes if scope in Scope.values), default=0)


def caller_rank(request: Request) -> int:
    """Return what the caller may do now: 1 viewer, 2 operator, 3 admin, 0 nothing.

    A key never exceeds the role that its owner has at the time of the call.
    """
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return 0
    rank = RANK[Role(user.role)]
    return min(rank, scopes_rank(request.auth.scopes)) if isinstance(request.auth, ApiKey) else rank


class RolePermission(BasePermission):
    """Asks a view which role an action needs.

    `required_roles` of the view maps an action (or, for plain views, a method in
    lower case) to a role. What is not named there needs viewer to read and admin
    to change. `session_or_admin_key` names actions for which a key needs the
    admin scope, whatever the role.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False  # DRF answers 401
        role = role_needed(request, view)
        if caller_rank(request) < max(RANK[role], _key_floor(request, view)):
            raise PermissionDenied(_refusal(request, role))
        return True


def role_needed(request: Request, view: Any) -> Role:
    """Return the role that this call needs."""
    named = getattr(view, "required_roles", {})
    action = getattr(view, "action", None) or (request.method or "").lower()
    if action in named:
        return Role(named[action])
    return Role.VIEWER if request.method in SAFE_METHODS else Role.ADMIN


def _key_floor(request: Request, view: Any) -> int:
    action = getattr(view, "action", None) or (request.method or "").lower()
    needs_admin = action in getattr(view, "session_or_admin_key", ())
    return RANK[Role.ADMIN] if needs_admin and isinstance(request.auth, ApiKey) else 0


def _refusal(request: Request, role: Role) -> str:
    user = request.user
    assert isinstance(user, User)
    if isinstance(request.auth, ApiKey) and user.has_role(role):
        held = ", ".join(request.auth.scopes) or "none"
        return f"This API key has the scope {held}; this call needs {SCOPE_OF_ROLE[role].value} or more."
    return f"This needs the role {role.value}; {user.username} is {user.role}."
