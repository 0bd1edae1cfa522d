from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pytest_django.fixtures import Settings

from phoenix_site import asgi
from tenants.models import Tenant
from tenants.services import limits, snapshots
from tenants.services.authentication import forget_tokens
from tenants.services.sandbox import repair_sandbox_tenant
from tests.doors import Door
from tests.ingestion import gateway_cast as cast


@pytest.fixture
def sandbox(db: None) -> Tenant:
    return repair_sandbox_tenant(
        cast.TENANT,
        name="Test tenant",
        tenant_secret=cast.SECRET,
        api_key_id=cast.KEY_ID,
        api_key=cast.KEY,
        now=datetime.now(UTC),
    )


@pytest.fixture(params=[True, False], ids=["fast", "full"])
def door(
    request: pytest.FixtureRequest, settings: Settings, transactional_db: None, sandbox: Tenant
) -> Iterator[Door]:
    """Ask the real application through the fast entrance, then through Django's own handler."""
    settings.PHOENIX_FAST_DOOR = request.param
    settings.PHOENIX_EVENT_CONSUMERS = {}
    snapshots.forget_now()
    limits.forget_leases()
    forget_tokens()
    with Door(asgi.build_application()) as opened:
        yield opened
