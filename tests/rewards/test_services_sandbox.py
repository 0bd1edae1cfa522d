"""What a sandbox tenant begins with, and how it is emptied."""

from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone
from pytest_django.fixtures import Settings

from ingestion.models import Event
from phoenix_site.common import emptying
from phoenix_site.common.exceptions import NotAllowedError
from players.models import Player
from players.services import sandbox as players_sandbox
from rewards.models import Account, LedgerTransaction, Posting, Rule
from rewards.services import consumer, sandbox
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.ingestion.factories import append
from tests.rewards.ledger_cast import credit, make_currency, player_of

pytestmark = pytest.mark.django_db(transaction=True)


def repair(tenant: Tenant) -> None:
    sandbox.repair_sandbox(tenant.pk, actor=SYSTEM, now=timezone.now())


def apply_all() -> None:
    for shard in range(8):
        while consumer.apply_rules(shard, now=timezone.now()):
            pass


def balances(tenant: Tenant) -> dict[str, int]:
    wallets = Account.objects.filter(tenant=tenant, kind="wallet")
    return {
        currency_id: int(balance)
        for currency_id, balance in wallets.values_list("currency__currency_id", "balance")
    }


def test_the_first_event_of_a_sandbox_earns_experience_and_gold(tenant_a: Tenant) -> None:
    repair(tenant_a)
    append("game-1", type="game.completed", attrs={"score_delta": 50})

    apply_all()

    assert balances(tenant_a) == {"xp": 10, "gold": 5}


def test_a_repeated_repair_leaves_what_staff_changed(tenant_a: Tenant) -> None:
    repair(tenant_a)
    Rule.objects.filter(rule_id="good-game").update(status="paused")

    repair(tenant_a)

    assert Rule.objects.get(rule_id="good-game").status == "paused"
    assert Rule.objects.count() == 2


def rows_of(tenant: Tenant, app: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for model in apps.get_app_config(app).get_models():
        path = emptying.path_to_tenant(model)
        rows: Any = model._default_manager.filter(**{path: tenant.pk}) if path else None
        if rows is not None and (count := rows.count()):
            counts[model.__name__] = count
    return counts


def test_emptying_takes_all_of_one_tenant_and_nothing_of_another(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    repair(tenant_a)
    append("game-1", type="game.completed", attrs={"score_delta": 50})
    apply_all()
    credit(player_of(tenant_b, "cleo"), make_currency(tenant_b), 5)
    theirs = rows_of(tenant_b, "rewards")

    sandbox.empty_tenant(tenant_a.pk)
    players_sandbox.empty_tenant(tenant_a.pk)

    assert rows_of(tenant_a, "rewards") == {}
    assert rows_of(tenant_b, "rewards") == theirs
    assert list(Player.objects.values_list("external_id", flat=True)) == ["cleo"]
    assert LedgerTransaction.objects.count() == 1
    assert Posting.objects.count() == 2
    assert Event.objects.filter(tenant_id=tenant_a.pk).exists()


def test_nothing_is_emptied_in_production(tenant_a: Tenant, settings: Settings) -> None:
    settings.PHOENIX_ENV = "prod"

    with pytest.raises(NotAllowedError):
        sandbox.empty_tenant(tenant_a.pk)
