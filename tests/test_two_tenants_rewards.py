"""Nothing that rewards keep of tenant B is found, changed or disclosed by tenant A.

Every operation of rewards is asked with every credential of tenant A, for tenant B by name and for
A's own tenant with the ids of B's objects, as in ``test_two_tenants``.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from phoenix_site.common.json import encode
from phoenix_site.reference.types import Key
from tenants.models import Tenant
from tests.conftest import CLEO
from tests.rewards.theirs import OPERATIONS, SECRET, Theirs, make_theirs, rows_of
from tests.test_two_tenants import Credential, credentials_of

pytestmark = pytest.mark.django_db

# Words of tenant B's objects that no request here sends, so that no answer can echo them.
SECRETS: Final = (SECRET, "Cleos league", "cleos-badge")


def subject_of(key: Key) -> str:
    """Return the word of the path that names what it is about."""
    parts = key[1].removeprefix("/v1/").removeprefix("tenants/{tenant_id}/").split("/")
    return "/".join(parts[:2]) if parts[0] in ("wallet", "tenants") else parts[0]


SUBJECTS: Final = {
    subject: list(keys) for subject, keys in groupby(sorted(OPERATIONS, key=subject_of), subject_of)
}


@pytest.fixture
def theirs(tenant_b: Tenant) -> Theirs:
    return make_theirs(tenant_b)


@pytest.fixture
def credentials(tenant_a: Tenant, ops: AbstractUser) -> list[Credential]:
    return credentials_of(tenant_a, ops)


def addresses(path: str, theirs: Theirs) -> Iterator[str]:
    for tenant_id in ("tenant-b", "tenant-a"):
        names = {**theirs.ids, "tenant_id": tenant_id, "user_id": CLEO}
        query = f"tenant_id={tenant_id}&user_id={CLEO}&event_id=cleos-event&rule_id=theirs"
        yield f"{path.format(**names)}?{query}"


def names_an_object(path: str) -> bool:
    return "{" in path.replace("{tenant_id}", "")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_tenant_a_reaches_nothing_of_tenant_b(
    client: Client,
    theirs: Theirs,
    credentials: list[Credential],
    tenant_b: Tenant,
    subject: str,
) -> None:
    before = rows_of(tenant_b)

    for method, path in SUBJECTS[subject]:
        for credential in credentials:
            for address in addresses(path, theirs):
                answer = ask(client, method, path, address, credential)
                text = answer.content.decode()
                where = f"{credential.name}: {method} {address}: {answer.status_code} {text}"
                assert answer.status_code < 500, where
                assert not any(word in text for word in SECRETS), where
                # Codes are looked up by players of the own tenant, where this one is unknown.
                if names_an_object(path) and "/validate/" not in path:
                    assert answer.status_code in (400, 401, 403, 404, 409), where
                elif "tenant_id=tenant-b" in address and "{tenant_id}" in path:
                    assert answer.status_code in (401, 403), where
    assert rows_of(tenant_b) == before


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
