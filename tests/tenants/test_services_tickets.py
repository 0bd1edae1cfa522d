from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from pytest_django.fixtures import Settings

from phoenix_site.common.exceptions import UnavailableError
from phoenix_site.common.redis import get_redis
from tenants.exceptions import AccessDeniedError, CredentialRefusedError
from tenants.models import Tenant
from tenants.services import authentication, tenants, tickets
from tenants.types import Caller, NewSecret
from tests.tenants import cast
from tests.tenants.cast import ACTOR, bearer, tenant_token, utc_now

pytestmark = pytest.mark.django_db


def new_caller(tenant: Tenant) -> Caller:
    made: NewSecret = cast.new_secret(tenant)
    request = bearer(tenant_token(tenant.pk, made.value, sub="Zoë", scope="query"))
    return authentication.authenticate_tenant(request, gateway="query", now=utc_now())


def test_a_ticket_works_once_for_its_caller(tenant_a: Tenant) -> None:
    caller = new_caller(tenant_a)

    ticket = tickets.create_ticket(caller, None, now=utc_now())

    assert ticket.value.startswith("wst_")
    assert len(ticket.value) > 40
    assert ticket.value not in repr(ticket)
    assert 29 < (ticket.expires_at - utc_now()).total_seconds() <= 30
    assert tickets.redeem_ticket(ticket.value, "any-board", now=utc_now()) == caller
    with pytest.raises(CredentialRefusedError):
        tickets.redeem_ticket(ticket.value, "any-board", now=utc_now())


def test_a_ticket_for_a_board_opens_no_other(tenant_a: Tenant) -> None:
    caller = new_caller(tenant_a)
    first = tickets.create_ticket(caller, "board-1", now=utc_now())
    second = tickets.create_ticket(caller, "board-1", now=utc_now())

    assert tickets.redeem_ticket(first.value, "board-1", now=utc_now()) == caller
    with pytest.raises(AccessDeniedError):
        tickets.redeem_ticket(second.value, "board-2", now=utc_now())


@pytest.mark.parametrize("value", ["", "wst_", "wst_unknown", "\ud800"])
def test_unknown_tickets_are_refused(db: None, value: str) -> None:
    with pytest.raises(CredentialRefusedError):
        tickets.redeem_ticket(value, "board", now=utc_now())


def test_a_ticket_ends_after_thirty_seconds_and_is_kept_hashed(tenant_a: Tenant) -> None:
    ticket = tickets.create_ticket(new_caller(tenant_a), None, now=utc_now())

    client: Any = get_redis()
    (name,) = client.keys("*ticket*")

    assert 28 <= client.ttl(name) <= 30
    assert ticket.value.encode() not in name


def test_a_ticket_does_not_outlive_its_caller(tenant_a: Tenant) -> None:
    caller = new_caller(tenant_a)
    suspended = tickets.create_ticket(caller, None, now=utc_now())
    over = tickets.create_ticket(caller, None, now=utc_now())

    with pytest.raises(CredentialRefusedError):
        tickets.redeem_ticket(over.value, "b", now=utc_now() + timedelta(hours=2))
    tenants.suspend_tenant("tenant-a", actor=ACTOR, now=utc_now())
    with pytest.raises(AccessDeniedError):
        tickets.redeem_ticket(suspended.value, "b", now=utc_now())


def test_without_redis_there_are_no_tickets(tenant_a: Tenant, settings: Settings) -> None:
    caller = new_caller(tenant_a)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    with pytest.raises(UnavailableError):
        tickets.create_ticket(caller, None, now=utc_now())
    with pytest.raises(UnavailableError):
        tickets.redeem_ticket("wst_x", "b", now=utc_now())


@pytest.mark.django_db(transaction=True)
async def test_tickets_have_async_twins(
    tenant_a: Tenant, async_database: None, settings: Settings
) -> None:
    caller = await sync_to_async(new_caller)(tenant_a)

    ticket = await tickets.acreate_ticket(caller, "b", now=utc_now())

    assert await tickets.aredeem_ticket(ticket.value, "b", now=utc_now()) == caller
    with pytest.raises(CredentialRefusedError):
        await tickets.aredeem_ticket(ticket.value, "b", now=utc_now())
