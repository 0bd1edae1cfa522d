"""Raw SQL against the ledger: the database itself refuses what the services never do."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction

from phoenix_site.common.ids import uuid7
from rewards.models import Account, Posting, Rule, RuleVersion
from rewards.services import documents
from rewards.services.proofs import prove
from tenants.models import Tenant
from tests.rewards.ledger_cast import NOON, credit, make_currency, player_of

pytestmark = pytest.mark.django_db

NEW_ENTRY = """
INSERT INTO rewards_ledgertransaction (
    id, tenant_id, kind, idempotency_key, content_hash, player_id, source_type, source_ref,
    cause_kind, cause_id, actor, reason, created_at
) VALUES (%(id)s, %(tenant)s, 'credit', %(id)s::text, '', %(player)s, 'manual', '', 'staff', '',
    '', '', %(at)s)
"""
NEW_ENTRY_WITH_LINES = f"""
WITH entry AS ({NEW_ENTRY} RETURNING id)
INSERT INTO rewards_posting (transaction_id, account_id, amount, created_at)
SELECT entry.id, line.account, line.amount, %(line_at)s
FROM entry, unnest(%(accounts)s::bigint[], %(amounts)s::numeric[]) AS line (account, amount)
"""  # noqa: S608 - both parts are constants

Refused = Callable[..., None]


@pytest.fixture
def refused() -> Refused:
    """Run a statement that the database must refuse, with a part of its message."""

    def run(statement: str, message: str, **values: Any) -> None:
        with (
            pytest.raises(DatabaseError, match=message),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)

    return run


@pytest.fixture
def accounts(tenant_a: Tenant) -> dict[str, Account]:
    gold, ana = make_currency(tenant_a), player_of(tenant_a)
    credit(ana, gold, 100)
    return {account.kind: account for account in Account.objects.all()}


def values(known: dict[str, Account], /, **changes: Any) -> dict[str, Any]:
    wallet, issuer = known["wallet"], known["issuer"]
    return {
        "id": uuid7(),
        "tenant": wallet.tenant_id,
        "player": wallet.player_id,
        "at": NOON,
        "line_at": NOON,
        "accounts": [issuer.pk, wallet.pk],
        "amounts": [Decimal(-5), Decimal(5)],
    } | changes


def test_a_balanced_transaction_in_one_statement_passes(accounts: dict[str, Account]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(NEW_ENTRY_WITH_LINES, values(accounts))

    assert Posting.objects.count() == 4


def test_acceptance_5_one_unbalanced_posting_is_refused(
    accounts: dict[str, Account], refused: Refused
) -> None:
    first = Posting.objects.order_by("pk")[0]
    wallet = accounts["wallet"].pk

    statement = """
        INSERT INTO rewards_posting (transaction_id, account_id, amount, created_at)
        VALUES (%(entry)s, %(account)s, 5, %(at)s)
    """
    for entry in (first.transaction_id, uuid7()):
        refused(statement, "is not balanced", entry=entry, account=wallet, at=NOON)
    refused(NEW_ENTRY_WITH_LINES, "not balanced", **values(accounts, amounts=[-5, 6]))
    refused(
        NEW_ENTRY_WITH_LINES, "not balanced", **values(accounts, accounts=[wallet], amounts=[5])
    )
    refused(NEW_ENTRY_WITH_LINES, "not balanced", **values(accounts, amounts=["NaN", "NaN"]))
    refused(NEW_ENTRY_WITH_LINES, "posting_moves", **values(accounts, amounts=[0, 0]))


@pytest.mark.parametrize("table", ["rewards_ledgertransaction", "rewards_posting"])
def test_acceptance_5_nothing_of_the_ledger_is_changed_deleted_or_emptied(
    accounts: dict[str, Account], refused: Refused, table: str
) -> None:
    change = {"rewards_posting": "amount = 1", "rewards_ledgertransaction": "reason = 'other'"}

    refused(f"UPDATE {table} SET {change[table]}", "append-only")  # noqa: S608
    refused(f"UPDATE {table} SET {change[table]} WHERE false", "append-only")  # noqa: S608
    refused(f"DELETE FROM {table}", "append-only")  # noqa: S608
    refused(f"SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE {table} CASCADE", "append-only")
    refused(
        f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1 "  # noqa: S608
        f"ON CONFLICT (id) DO UPDATE SET {change[table]}",
        "append-only",
    )


def test_balanced_lines_cannot_be_added_to_a_transaction_later(
    accounts: dict[str, Account], refused: Refused
) -> None:
    entry = Posting.objects.order_by("pk")[0].transaction_id
    at = Posting.objects.order_by("pk")[0].created_at

    refused(
        """
        INSERT INTO rewards_posting (transaction_id, account_id, amount, created_at)
        SELECT %(entry)s, account, amount, %(at)s
        FROM unnest(%(accounts)s::bigint[], %(amounts)s::numeric[]) AS line (account, amount)
        """,
        "is complete",
        entry=entry,
        at=at,
        accounts=[accounts["issuer"].pk, accounts["wallet"].pk],
        amounts=[Decimal(-5), Decimal(5)],
    )


def test_a_transaction_without_lines_is_refused(
    accounts: dict[str, Account], refused: Refused
) -> None:
    refused(NEW_ENTRY, "comes with its postings", **values(accounts))


def test_lines_at_another_time_than_their_transaction_are_refused(
    accounts: dict[str, Account], refused: Refused
) -> None:
    late = NOON + timedelta(seconds=1)

    refused(NEW_ENTRY_WITH_LINES, "not balanced", **values(accounts, line_at=late))


def test_lines_on_accounts_of_another_tenant_or_player_are_refused(
    accounts: dict[str, Account], refused: Refused, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    foreign = make_currency(tenant_b)
    credit(player_of(tenant_b, "cleo"), foreign, 1)
    theirs = [row.pk for row in Account.objects.filter(tenant=tenant_b).order_by("kind")]
    ben = player_of(tenant_a, "ben")

    refused(NEW_ENTRY_WITH_LINES, "not balanced", **values(accounts, accounts=theirs))
    refused(NEW_ENTRY_WITH_LINES, "not balanced", **values(accounts, player=ben))
    refused(NEW_ENTRY_WITH_LINES, "not balanced", **values(accounts, player=None))


def test_sums_are_zero_per_currency_not_over_all(
    accounts: dict[str, Account], refused: Refused, tenant_a: Tenant
) -> None:
    gems = make_currency(tenant_a, "gems")
    credit(player_of(tenant_a), gems, 1)
    other = Account.objects.get(currency=gems.pk, kind="wallet").pk

    mixed = values(accounts, accounts=[accounts["issuer"].pk, other])
    refused(NEW_ENTRY_WITH_LINES, "not balanced", **mixed)


def test_an_account_never_becomes_another_one(
    accounts: dict[str, Account], refused: Refused, tenant_b: Tenant
) -> None:
    for change in ("kind = 'fees'", "reference = 'x'", "id = id + 1", "tenant_id = 'tenant-b'"):
        refused(f"UPDATE rewards_account SET {change}", "only the balances")  # noqa: S608
    refused("DELETE FROM rewards_account", "only the balances")
    refused("UPDATE rewards_account SET balance = -1 WHERE kind = 'wallet'", "never_negative")
    refused("UPDATE rewards_account SET balance = -1 WHERE kind = 'issuer'", "never_negative")


def test_an_account_its_currency_and_its_player_are_of_one_tenant(
    refused: Refused, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    gold, cleo = make_currency(tenant_a), player_of(tenant_b, "cleo")
    statement = """
        INSERT INTO rewards_account
            (tenant_id, currency_id, kind, player_id, reference, balance, lifetime_earned, has_lots)
        VALUES (%(tenant)s, %(currency)s, 'wallet', %(player)s, '', 0, 0, false)
    """

    for tenant in ("tenant-a", "tenant-b"):
        refused(statement, "one tenant", tenant=tenant, currency=gold.pk, player=cleo)


def test_proofs_and_versions_of_documents_are_fixed(refused: Refused, tenant_a: Tenant) -> None:
    make_currency(tenant_a)
    prove(tenant_a.pk, NOON)
    row = Rule.objects.create(tenant=tenant_a, rule_id="r", name="R")
    documents.record_version(row, kind="x", document={}, author="", now=NOON)

    for table in ("rewards_proof", "rewards_documentversion"):
        refused(f"DELETE FROM {table}", "append-only")  # noqa: S608
        refused(f"UPDATE {table} SET tenant_id = tenant_id", "append-only")  # noqa: S608


def test_only_an_unpublished_version_of_a_rule_changes(refused: Refused, tenant_a: Tenant) -> None:
    rule = Rule.objects.create(tenant=tenant_a, rule_id="r", name="R")
    version = RuleVersion.objects.create(rule=rule, number=1, document={}, created_at=NOON)
    RuleVersion.objects.filter(pk=version.pk).update(document={"a": 1}, published_at=NOON)

    refused("UPDATE rewards_ruleversion SET author = 'other'", "append-only")
    refused("DELETE FROM rewards_ruleversion", "append-only")


def test_no_two_reversals_of_one_transaction(
    accounts: dict[str, Account], refused: Refused
) -> None:
    entry: UUID = Posting.objects.order_by("pk")[0].transaction_id
    again = NEW_ENTRY_WITH_LINES.replace("actor, reason,", "actor, reason, reverses_id,").replace(
        "'', '', %(at)s)", "'', '', %(entry)s, %(at)s)"
    )
    with connection.cursor() as cursor:
        cursor.execute(again, values(accounts, entry=entry))

    refused(again, "transaction_reversed_once", **values(accounts, entry=entry))
