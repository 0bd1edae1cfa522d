"""Fixtures for every app.

The cast: Ana and Ben play at tenant A, Cleo at tenant B, Ops is staff of A only.
"""

from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.db.backends.postgresql.operations import DatabaseOperations
from pytest_django.fixtures import Settings
from whitenoise.middleware import WhiteNoiseMiddleware

from phoenix_site.common import postgres
from phoenix_site.common.redis import get_async_redis, get_redis
from rewards.selectors import book
from tenants import tokens
from tenants.models import Membership, Tenant
from tenants.services import authentication, limits, snapshots, usage
from tests.servers import IS_THROWN_AWAY

ANA, BEN, CLEO = "ana", "ben", "cleo"


# Written by migrations, read by every permission check, changed by no test.
LASTING_TABLES = frozenset({"django_content_type", "auth_permission"})
# A thread of a test that ended in the middle of a transaction: it would hold back every reader of
# the log that waits for older transactions, in all tests to come.
END_LEFTOVERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND state LIKE 'idle in transaction%'
"""


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """Leave the test database to the end of its server, if that is thrown away with all in it.

    To drop it while a connection of some thread is just ending fails the last test of a run.
    """
    return request.config.stash.get(IS_THROWN_AWAY, False) or request.config.getoption("reuse_db")


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> None:
    """Empty only the tables that hold rows after a test that commits.

    Django truncates every table, which makes new files for each, and then writes all content types
    and permissions anew: together that takes longer than most tests.
    """
    truncate = DatabaseOperations.sql_flush

    def sql_flush(
        operations: DatabaseOperations, style: Any, tables: Any, **options: Any
    ) -> list[str]:
        names = [operations.quote_name(name) for name in set(tables) - LASTING_TABLES]
        with transaction.atomic(), operations.connection.cursor() as cursor:
            cursor.execute("SELECT usesuper FROM pg_user WHERE usename = current_user")
            if not cursor.fetchone()[0]:
                return truncate(operations, style, tables, **options)
            looks = [f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names]  # noqa: S608
            cursor.execute(" UNION ALL ".join(looks))
            # As a replica no trigger runs: neither foreign keys nor those that keep history fixed.
            deletions = [f"DELETE FROM {name}" for (name,) in cursor.fetchall()]  # noqa: S608
            cursor.execute("; ".join(["SET LOCAL session_replication_role = replica", *deletions]))
        # Nothing is left for Django to do, and so it sends no signal that would fill tables again.
        return []

    DatabaseOperations.sql_flush = sql_flush  # type: ignore[method-assign, assignment]


@pytest.fixture(autouse=True, scope="session")
def _known_urls() -> None:
    """Read the paths before any test chooses other gateways for itself."""
    import_module(settings.ROOT_URLCONF)


@pytest.fixture(autouse=True, scope="session")
def _known_static_files() -> None:
    """Look for the static files once, not again for every test client."""
    look = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, Any] = {}

    def add_files_from_finders(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            look(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    WhiteNoiseMiddleware.add_files_from_finders = add_files_from_finders


@pytest.fixture(autouse=True)
def _no_leftovers(request: pytest.FixtureRequest) -> None:
    """Begin every test of the database without transactions that others left open."""
    if request.node.get_closest_marker("database"):
        request.getfixturevalue("_django_db_helper")
        with connection.cursor() as cursor:
            cursor.execute(END_LEFTOVERS)


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
    book.forget_books()


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
