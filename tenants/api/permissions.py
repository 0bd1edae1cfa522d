"""What a caller may do, for Django REST framework; denials are domain errors with code AUTH_005."""

from typing import Any, Self

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.api.authentication import caller_of
from tenants.services import authentication


class HasScope(BasePermission):
    """Ask for a scope: ``HasScope("boards:read", write="boards:write")`` for reads and the rest.

    An instance stands in ``permission_classes``; without ``write`` one scope serves all methods.
    """

    def __init__(self, scope: str, *, write: str | None = None) -> None:
        self.scope = scope
        self.write = write or scope

    def __call__(self) -> Self:
        return self

    def has_permission(self, request: Request, view: APIView) -> bool:
        scope = self.scope if request.method in SAFE_METHODS else self.write
        authentication.require_scope(caller_of(request), scope)
        return True


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
