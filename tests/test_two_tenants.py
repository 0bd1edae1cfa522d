"""Nothing of tenant B is found, changed or disclosed by tenant A, on any path of any gateway.

Every operation of the reference is asked with every credential of tenant A: once for tenant B, and
once for A's own tenant but with the names of B's objects.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser, Permission
from django.test import Client

from ingestion.models import Event
from leaderboards.models import BoardVersion, Entry, Leaderboard, Snapshot, Window
from leaderboards.services import snapshots
from phoenix_site.common.json import encode
from phoenix_site.reference.document import OPERATIONS
from tenants.models import IdempotencyRecord, Tenant
from tenants.services import staff
from tests.conftest import CLEO
from tests.ingestion.factories import append
from tests.leaderboards import query_cast
from tests.rewards import theirs as rewards
from tests.tenants import cast

pytestmark = pytest.mark.django_db

# Words that only tenant B's objects hold; none may stand in an answer to tenant A.
SECRETS = ("Cleo's league", "cleos-event", '"cleo"', '"theirs"')
# Those of rewards are asked in ``test_two_tenants_rewards``, which knows their objects.
ASKED = sorted(OPERATIONS.keys() - rewards.OPERATIONS.keys())
TAKEN_AT = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential of tenant A, as a header."""

    name: str
    header: dict[str, str]


@pytest.fixture
def theirs(tenant_b: Tenant) -> Window:
    """Return an open window of tenant B, beside a closed one, snapshots and an event."""
    board = query_cast.new_board(tenant_b, "theirs")
    Leaderboard.objects.filter(pk=board.pk).update(name="Cleo's league")
    last = query_cast.new_window(
        board,
        "2026-W01",
        starts_at=TAKEN_AT - timedelta(days=14),
        ends_at=TAKEN_AT - timedelta(days=7),
    )
    query_cast.fill(last, {CLEO: 40})
    query_cast.close(last)
    window = query_cast.new_window(
        board, starts_at=TAKEN_AT - timedelta(days=7), ends_at=TAKEN_AT + timedelta(days=7)
    )
    query_cast.fill(window, {CLEO: 50})
    snapshots.take_snapshot(window.pk, TAKEN_AT)
    append("cleos-event", tenant_id=tenant_b.pk, user_id=CLEO)
    return window


@pytest.fixture
def credentials(tenant_a: Tenant, ops: AbstractUser) -> list[Credential]:
    return credentials_of(tenant_a, ops)


def credentials_of(tenant_a: Tenant, ops: AbstractUser) -> list[Credential]:
    """Return one credential of every kind that tenant A has, each allowed everything."""
    secret = cast.new_secret(tenant_a)
    key = cast.new_key(tenant_a)
    ops.user_permissions.set(Permission.objects.all())
    tokens = {
        "player": cast.tenant_token(tenant_a.pk, secret.value),
        "admin token": cast.admin_token(key.credential_id, key.value),
        "staff": staff.issue_tokens(ops, now=cast.utc_now()).access,
        "key": key.value,
    }
    bearers = [
        Credential(name, {"Authorization": f"Bearer {token}"}) for name, token in tokens.items()
    ]
    return [*bearers, Credential("X-API-Key", {"X-API-Key": key.value})]


def filled(path: str, tenant_id: str) -> str:
    """Return the path with the names of tenant B's objects."""
    names = {
        "tenant_id": tenant_id,
        "leaderboard_id": "theirs",
        "user_id": CLEO,
        "window_key": "2026-W47",
        "snapshot_time": TAKEN_AT.isoformat().replace("+00:00", "Z"),
        "event_id": "cleos-event",
    }
    return path.format(**names)


def questions(method: str, path: str) -> Iterator[str]:
    """Yield the addresses that ask for tenant B's objects, by tenant B's name and by A's own."""
    for tenant_id in ("tenant-b", "tenant-a"):
        yield f"{filled(path, tenant_id)}?tenant_id={tenant_id}&user_id={CLEO}&score=1"


def ask(client: Client, method: str, path: str, address: str, credential: Credential) -> Any:
    """Send the operation's example to ``address``."""
    body = OPERATIONS[method, path].request
    return client.generic(
        method.upper(),
        address,
        b"" if body is None else encode(body),
        content_type="application/json",
        headers=credential.header,
    )


def their_rows() -> list[Any]:
    """Return everything of tenant B that a request could have changed."""
    return [
        list(Leaderboard.objects.filter(tenant_id="tenant-b").values()),
        BoardVersion.objects.filter(board__tenant_id="tenant-b").count(),
        list(Window.objects.filter(tenant_id="tenant-b").order_by("key").values()),
        list(Entry.objects.filter(tenant_id="tenant-b").order_by("pk").values()),
        Snapshot.objects.filter(board__tenant_id="tenant-b").count(),
        Event.objects.filter(tenant_id="tenant-b").count(),
        IdempotencyRecord.objects.filter(tenant_id="tenant-b").count(),
    ]


@pytest.mark.parametrize(("method", "path"), ASKED, ids=[" ".join(key) for key in ASKED])
def test_tenant_a_reaches_nothing_of_tenant_b(
    client: Client, theirs: Window, credentials: list[Credential], method: str, path: str
) -> None:
    before = their_rows()

    for credential in credentials:
        for address in questions(method, path):
            answer = ask(client, method, path, address, credential)
            text = answer.content.decode()
            where = f"{credential.name}: {method} {address}: {answer.status_code} {text}"
            # A machine that is busy may say that it is not ready.
            assert answer.status_code < 500 or path == "/ready", where
            assert not any(word in text for word in SECRETS), where
            if "{" in path and not is_own_collection(path, address):
                assert answer.status_code in (400, 401, 403, 404), where
            elif "tenant_id=tenant-b" in address and path == "/v1/leaderboards":
                assert answer.status_code in (401, 403), where
    assert their_rows() == before


def is_own_collection(path: str, address: str) -> bool:
    """Return whether the address is a collection of tenant A itself, which it may use."""
    only_names_a_tenant = path.count("{") == 1 and "{tenant_id}" in path
    return only_names_a_tenant and "/tenant-a/" in address


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_another_tenant_s_object_and_one_that_is_not_there_look_alike(
    client: Client, theirs: Window, credentials: list[Credential], method: str
) -> None:
    paths = [path for each, path in OPERATIONS if each == method and "{leaderboard_id}" in path]

    for path in paths:
        for credential in credentials:
            there, nowhere = (
                ask(client, method, path, f"{address}?user_id=x&score=1", credential)
                for address in (
                    filled(path, "tenant-a"),
                    filled(path.replace("{leaderboard_id}", "nowhere"), "tenant-a"),
                )
            )
            assert there.status_code == nowhere.status_code, path
            assert there.json()["code"] == nowhere.json()["code"]
            assert there.json()["error"] == nowhere.json()["error"].replace("nowhere", "theirs")


def test_an_event_is_stored_for_the_tenant_of_its_credential_only(
    client: Client, theirs: Window, credentials: list[Credential]
) -> None:
    event = OPERATIONS["post", "/v1/events"].request | {"tenant_id": "tenant-b"}
    before = their_rows()

    client.post("/v1/events", event, content_type="application/json", headers=credentials[0].header)

    assert their_rows() == before
