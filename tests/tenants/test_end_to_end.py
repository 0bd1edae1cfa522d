"""Through the real application: ASGI, root paths, raw paths, the OpenAPI document."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from phoenix_site import asgi
from tenants.models import Tenant
from tests.doors import Door
from tests.tenants import cast
from tests.tenants.cast import admin_token, signed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def door() -> Iterator[Door]:
    with Door(asgi.build_application()) as opened:
        yield opened


def test_staff_script_the_admin_gateway(door: Door, ops: Any, tenant_b: Tenant) -> None:
    ops.user_permissions.add(*Permission.objects.filter(codename="view_leaderboard"))
    body = {"username": "ops", "password": "ops-pass-1"}

    tokens = door.ask("POST", "/v1/staff/token", json=body)
    access = tokens.json()["access"]

    assert tokens.status_code == 200
    path = "/v1/tenants/{}/leaderboards"
    assert door.get(path.format("tenant-a"), token=access).status_code == 200
    assert door.get(path.format("tenant-b"), token=access).json()["code"] == "AUTH_005"
    refused = door.ask("POST", path.format("tenant-a"), token=access, json={})
    assert (refused.status_code, refused.json()["code"]) == (403, "AUTH_005")


def test_health_names_the_credential_that_was_sent(door: Door, tenant_a: Tenant) -> None:
    key, secret = cast.new_key(tenant_a), cast.new_secret(tenant_a)
    request = signed("tenant-a", secret.value, method="GET", path="/health", body=b"")

    by_key = door.get("/health", headers={"X-API-Key": key.value}).json()
    by_token = door.get("/health", token=admin_token(key.credential_id, key.value)).json()
    by_signature = door.get("/health", headers=dict(request.headers)).json()
    wrong = door.get("/health", headers={"X-API-Key": "pk_wrong"})

    assert (by_key["credential"], by_key["tenant_ids"]) == ("api_key", ["tenant-a"])
    assert by_token["credential"] == "admin_jwt"
    assert by_signature["credential"] == "tenant_hmac"
    assert (wrong.status_code, wrong.json()["code"]) == (401, "AUTH_003")


def test_a_signature_covers_the_path_as_it_was_sent(door: Door, tenant_a: Tenant) -> None:
    secret = cast.new_secret(tenant_a)
    request = signed("tenant-a", secret.value, method="GET", path="/%68ealth", body=b"")

    answer = door.get("/%68ealth?x=1", headers=dict(request.headers))

    assert answer.status_code == 200, answer.text


def test_the_description_names_our_credentials_and_staff_tokens(door: Door, db: None) -> None:
    schema = door.get("/openapi.json").json()

    assert {"/v1/staff/token", "/v1/staff/token/refresh", "/v1/staff/token/revoke"} <= set(
        schema["paths"]
    )
    assert {"apiKey", "adminToken"} <= set(schema["components"]["securitySchemes"])
