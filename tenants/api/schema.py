"""How the description of the API shows our credentials; importing it registers them."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

_TENANT_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "HS256, signed with the tenant's secret; claims sub, sub_type (tenant), sub_id "
    "and exp.",
}
_SIGNATURE = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Signature",
    "description": "hmac-sha256=<hex> over METHOD, path, X-Timestamp and body, joined by line "
    "feeds; with X-Tenant-Id and X-Timestamp.",
}
_API_KEY = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
_ADMIN_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, a JWT signed with its value (sub_type admin, sub_id the key's id), "
    "or a staff token.",
}


class IngestionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.api.authentication.IngestionAuthentication"
    name = ["tenantToken", "tenantSignature"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [_TENANT_TOKEN, _SIGNATURE]


class QueryScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.api.authentication.QueryAuthentication"
    name = "playerToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return _TENANT_TOKEN


class AdminScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.api.authentication.AdminAuthentication"
    name = ["apiKey", "adminToken"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [_API_KEY, _ADMIN_TOKEN]
