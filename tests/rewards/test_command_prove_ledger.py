from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from rewards.models import Proof
from tenants.models import Tenant
from tests.rewards.ledger_cast import credit, make_currency, player_of

pytestmark = pytest.mark.django_db


def prove(*arguments: str) -> str:
    out = StringIO()
    call_command("prove_ledger", *arguments, stdout=out)
    return out.getvalue()


def test_a_ledger_that_adds_up_is_proven(tenant_a: Tenant, tenant_b: Tenant) -> None:
    credit(player_of(tenant_a), make_currency(tenant_a), 100)

    said = prove("--tenant", "tenant-a")

    assert "tenant-a: proof 1, 2 postings" in said
    assert list(Proof.objects.values_list("tenant_id", flat=True)) == ["tenant-a"]


def test_a_balance_that_somebody_changed_is_told(tenant_a: Tenant) -> None:
    credit(player_of(tenant_a), make_currency(tenant_a), 100)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rewards_account SET balance = 101 WHERE kind = 'wallet'")

    with pytest.raises(CommandError, match="1 differences in 1 ledgers"):
        prove()


def test_an_unknown_tenant_is_refused(tenant_a: Tenant) -> None:
    with pytest.raises(CommandError, match="no such tenant"):
        prove("--tenant", "nobody")
