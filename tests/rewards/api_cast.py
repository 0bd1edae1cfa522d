"""Callers of the gateways for the tests of rewards: an API key, and players with their tokens."""

from dataclasses import dataclass
from typing import Any

from django.test import Client

from phoenix_site.common.json import encode
from tenants.models import Tenant
from tests.tenants import cast


@dataclass(frozen=True, slots=True)
class Api:
    """Sends JSON with one credential; ``path`` stands after ``/v1/``."""

    headers: dict[str, str]
    base: str = "/v1/"

    def get(self, path: str, **query: Any) -> Any:
        return Client().get(self.base + path, query, headers=self.headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._send("post", path, body, headers)

    def put(self, path: str, body: Any = None) -> Any:
        return self._send("put", path, body, {})

    def patch(self, path: str, body: Any = None) -> Any:
        return self._send("patch", path, body, {})

    def delete(self, path: str) -> Any:
        return self._send("delete", path, None, {})

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        return getattr(Client(), method)(
            self.base + path,
            b"" if body is None else encode(body),
            content_type="application/json",
            headers={**self.headers, **headers},
        )


def admin_api(tenant: Tenant, *scopes: str) -> Api:
    """Return the admin gateway as an API key of ``tenant``, by the paths that name the tenant."""
    key = cast.new_key(tenant, scopes=scopes) if scopes else cast.new_key(tenant)
    return Api({"X-API-Key": key.value}, f"/v1/tenants/{tenant.pk}/")


def player_api(tenant: Tenant, user_id: str = "ana", *, secret: str | None = None) -> Api:
    """Return the query gateway as a player of ``tenant``."""
    value = secret or cast.new_secret(tenant).value
    token = cast.tenant_token(tenant.pk, value, sub=user_id)
    return Api({"Authorization": f"Bearer {token}"})
