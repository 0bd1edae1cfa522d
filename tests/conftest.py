"""Fixtures for every app.

The cast: Ana and Ben play at tenant A, Cleo at tenant B, Ops is staff of A only.
"""

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from pytest_django.fixtures import Settings

from phoenix_site.common import postgres
from phoenix_site.common.redis import get_async_redis, get_redis
from tenants import tokens
from tenants.models import Membership, Tenant
from tenants.services import authentication, limits, snapshots, usage

ANA, BEN, CLEO = "ana", "ben", "cleo"


@pytest.fixture(autouse=True)
def _empty_redis() -> None:
    """Start every test without keys; each test process has a Valkey of its own."""
    get_redis().flushdb()


@pytest.fixture(autouse=True)
def _fresh_memory() -> None:
    """Start every test without what the process remembers of tenants, tokens and limits."""
    snapshots.forget_now()
    authentication.forget_tokens()
    limits.forget_leases()
    usage.forget_uses()
    tokens.forget_keys()


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    """Hash passwords cheaply: their strength is Django's to test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
async def async_database(transactional_db: None) -> AsyncIterator[None]:
    """Let a test on an event loop use the database, and leave no connection of it behind."""
    yield
    await postgres.close_pool()
    await get_async_redis().aclose()
    # What sync_to_async ran had a connection of its own thread.
    await sync_to_async(connections.close_all)()


@pytest.fixture
def tenant_a(db: None) -> Tenant:
    return Tenant.objects.create(
        id="tenant-a", operator_code="tenant-a", environment="sandbox", name="Tenant A"
    )


@pytest.fixture
def tenant_b(db: None) -> Tenant:
    return Tenant.objects.create(
        id="tenant-b", operator_code="tenant-b", environment="sandbox", name="Tenant B"
    )


@pytest.fixture
def ops(tenant_a: Tenant, django_user_model: type[User]) -> User:
    """Return a staff member of tenant A who is no superuser."""
    user = django_user_model.objects.create_user("ops", password="ops-pass-1", is_staff=True)
    Membership.objects.create(user=user, tenant=tenant_a)
    return user
