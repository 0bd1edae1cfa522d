"""What a caller may do, for Django REST framework; denials are domain errors with code AUTH_005."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.api.authentication import caller_of
from tenants.services import authentication


class ScopePermission(BasePermission):
    """Ask for one scope to read and for one to do anything else."""

    read_scope = ""
    write_scope = ""

    def has_permission(self, request: Request, view: APIView) -> bool:
        is_reading = request.method in SAFE_METHODS
        scope = self.read_scope if is_reading else self.write_scope
        authentication.require_scope(caller_of(request), scope)
        return True


def HasScope(scope: str, *, write: str | None = None) -> type[BasePermission]:  # noqa: N802 - stands where a class does
    """Return the permission that asks for ``scope``; ``write`` serves all but safe methods."""
    scopes = {"read_scope": scope, "write_scope": write or scope}
    return type("HasScope", (ScopePermission,), scopes)


class ReachesTenant(BasePermission):
    """Ask for the tenant of the path, or of the query string where the path names none."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        tenant_id = named_tenant(request, view)
        if tenant_id is not None:
            authentication.require_tenant(caller_of(request), tenant_id)
        return True


def named_tenant(request: Request, view: Any) -> str | None:
    """Return the tenant that the request is about, if it names one."""
    return view.kwargs.get("tenant_id") or request.query_params.get("tenant_id")
