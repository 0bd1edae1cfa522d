"""Levels follow what a wallet ever earned; their rewards come once."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from pytest_django.fixtures import DjangoAssertNumQueries

from ingestion.models import Event
from phoenix_site.common.exceptions import NotFoundError
from rewards.exceptions import AlreadyExistsError, DocumentError, VersionConflictError
from rewards.models import DocumentVersion, Grant, Job, Ladder, PlayerLevel, RewardItem
from rewards.selectors import ladders as selectors
from rewards.services import jobs, ladder_changes, ladders
from rewards.services.pipe import settling
from rewards.types.book import CurrencyView
from tenants.models import Tenant
from tenants.types import Actor
from tests.rewards.ledger_cast import (
    NOON,
    credit,
    make_currency,
    player_of,
    staff_cause,
)

pytestmark = pytest.mark.django_db

OPS = Actor("staff", "1", "ops")


@pytest.fixture
def xp(tenant_a: Tenant) -> CurrencyView:
    return make_currency(tenant_a, "xp", is_spendable=False, role="xp")


def make_item(tenant: Tenant, name: str, **fields: Any) -> RewardItem:
    values: dict[str, Any] = {"reward_type": "badge", "payload": {"badge_id": name, "tier": ""}}
    return RewardItem.objects.create(tenant=tenant, name=name, **{**values, **fields})


def level(number: int, xp_required: int, *items: RewardItem) -> dict[str, Any]:
    return {
        "level": number,
        "xp_required": xp_required,
        "item_ids": [str(item.pk) for item in items],
    }


def document(levels: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"ladder_id": "levels", "name": "Levels", "levels": levels, **more}


def create(tenant: Tenant, levels: list[dict[str, Any]], **more: Any) -> Ladder:
    return ladders.create_ladder(tenant.pk, document(levels, **more), actor=OPS, now=NOON)


def events_of(kind: str) -> list[Mapping[str, Any]]:
    return list(Event.objects.filter(type=kind).order_by("id").values_list("attrs", flat=True))


def names_of_grants(player_id: UUID) -> list[str]:
    grants = Grant.objects.filter(player_id=player_id).order_by("created_at", "pk")
    return [grant.snapshot["name"] for grant in grants]


def level_of(player_id: UUID) -> int:
    row = PlayerLevel.objects.filter(player_id=player_id).first()
    return row.level if row else 1


@transaction.atomic
def reverse(player_id: UUID, currency: CurrencyView, amount: int, transaction_id: UUID) -> None:
    with settling([player_id], now=NOON) as settlement:
        settlement.take(
            player_id,
            currency,
            Decimal(amount),
            cause=staff_cause(currency.tenant_id, id="reversal"),
            key=f"reversal:{transaction_id}",
            reverses=transaction_id,
        )


def run(job: Job, *, now: datetime = NOON) -> dict[str, Any]:
    jobs.run_job(job.pk, clock=lambda: now)
    job.refresh_from_db()
    assert job.status == Job.Status.DONE, job.error
    result: dict[str, Any] = job.result
    return result


# --- Documents -----------------------------------------------------------------------------------


def test_a_ladder_stands_on_the_currency_of_experience_by_default(
    tenant_a: Tenant, xp: CurrencyView
) -> None:
    ladder = create(tenant_a, [level(1, 0), level(2, 100)])

    assert ladder.currency_id == xp.pk
    assert DocumentVersion.objects.filter(kind="ladder", object_id=ladder.pk).count() == 1
    with pytest.raises(AlreadyExistsError):
        create(tenant_a, [level(1, 0)])


def test_a_ladder_refuses_what_is_not_the_tenants(
    tenant_a: Tenant, tenant_b: Tenant, xp: CurrencyView
) -> None:
    make_currency(tenant_a, "gold")
    theirs = make_item(tenant_b, "theirs")

    with pytest.raises(DocumentError) as caught:
        create(tenant_a, [level(1, 0), level(2, 9, theirs)], currency_id="gold", downgrade={})

    assert {fault.path for fault in caught.value.faults} == {
        "currency_id",
        "downgrade",
        "levels.1.item_ids.0",
    }


def test_an_outdated_change_is_refused(tenant_a: Tenant, xp: CurrencyView) -> None:
    create(tenant_a, [level(1, 0)])

    with pytest.raises(VersionConflictError):
        ladders.change_ladder(
            tenant_a.pk, "levels", document([level(1, 0)], version=7), actor=OPS, now=NOON
        )
    with pytest.raises(NotFoundError):
        ladders.change_ladder(tenant_a.pk, "other", {}, actor=OPS, now=NOON)


# --- Climbing ------------------------------------------------------------------------------------


def test_acceptance_27_a_jump_gives_every_level_passed_once(
    tenant_a: Tenant, xp: CurrencyView
) -> None:
    two, three = make_item(tenant_a, "two"), make_item(tenant_a, "three")
    create(tenant_a, [level(1, 0), level(2, 100, two), level(3, 300, three)])
    ana = player_of(tenant_a)

    first = credit(ana, xp, 350)

    assert level_of(ana) == 3
    assert names_of_grants(ana) == ["two", "three"]
    assert [attrs["level"] for attrs in events_of("level.reached")] == [2, 3]
    assert [attrs["total"] for attrs in events_of("level.reached")] == [350, 350]

    reverse(ana, xp, 350, first.transaction_id)

    assert level_of(ana) == 1
    assert len(events_of("level.lost")) == 1
    assert names_of_grants(ana) == ["two", "three"]

    credit(ana, xp, 350)

    assert level_of(ana) == 3
    assert names_of_grants(ana) == ["two", "three"]


def test_ranks_are_entered_once_and_told_of(tenant_a: Tenant, xp: CurrencyView) -> None:
    medal = make_item(tenant_a, "medal")
    gold = {"rank_id": "gold", "name": "Gold", "levels": [2, 3], "item_ids": [str(medal.pk)]}
    create(tenant_a, [level(1, 0), level(2, 100), level(3, 300)], ranks=[gold])
    ana = player_of(tenant_a)

    credit(ana, xp, 150)
    credit(ana, xp, 200)

    assert names_of_grants(ana) == ["medal"]
    assert [attrs["rank_id"] for attrs in events_of("rank.reached")] == ["gold"]
    assert [attrs["level"] for attrs in events_of("level.reached")] == [2, 3]


def test_levels_that_give_experience_carry_on(tenant_a: Tenant, xp: CurrencyView) -> None:
    more = make_item(
        tenant_a, "more", reward_type="currency", payload={"currency_id": "xp", "amount": 100}
    )
    create(tenant_a, [level(1, 0), level(2, 100, more), level(3, 200, more), level(4, 500)])
    ana = player_of(tenant_a)

    credit(ana, xp, 100)

    assert level_of(ana) == 3
    assert names_of_grants(ana) == ["more", "more"]


def test_a_player_of_another_tenant_is_not_moved(
    tenant_a: Tenant, tenant_b: Tenant, xp: CurrencyView
) -> None:
    create(tenant_a, [level(1, 0), level(2, 100)])
    theirs = make_currency(tenant_b, "xp", is_spendable=False, role="xp")
    cleo = player_of(tenant_b, "cleo")

    credit(cleo, theirs, 500)

    assert not PlayerLevel.objects.exists()


def test_the_statements_do_not_grow_with_the_players(
    tenant_a: Tenant, xp: CurrencyView, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    create(tenant_a, [level(1, 0), level(2, 100), level(3, 300)])
    players = [player_of(tenant_a, f"p{number}") for number in range(30)]

    with (
        django_assert_max_num_queries(20),
        transaction.atomic(),
        settling(players, now=NOON) as settlement,
    ):
        for player_id in players:
            settlement.credit(
                player_id,
                xp,
                Decimal(400),
                cause=staff_cause(tenant_a.pk, id=f"c-{player_id}"),
                key=f"test:{player_id}",
            )

    assert PlayerLevel.objects.filter(level=3).count() == 30


# --- Where a player stands -----------------------------------------------------------------------


def test_a_player_sees_the_way_to_the_next_level(tenant_a: Tenant, xp: CurrencyView) -> None:
    create(tenant_a, [level(1, 0), level(2, 100), level(3, 300)])
    credit(player_of(tenant_a), xp, 150)

    step = selectors.player_step(tenant_a.pk, "ana", "levels")
    nobody = selectors.player_step(tenant_a.pk, "nobody", "levels")

    assert step.level == 2
    assert step.total == 150
    assert step.missing == 150
    assert step.percentage == Decimal("25.00")
    assert nobody.level == 1
    assert nobody.total == 0
    assert nobody.missing == 100


def test_at_the_end_of_the_ladder_nothing_is_missing(tenant_a: Tenant, xp: CurrencyView) -> None:
    create(tenant_a, [level(1, 0), level(2, 100)])
    credit(player_of(tenant_a), xp, 150)

    step = selectors.player_step(tenant_a.pk, "ana", "levels")

    assert step.xp_for_next is None
    assert step.missing is None
    assert step.percentage == 100


# --- Changed curves ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "levels"), [("grandfather", [2, 3, 1]), ("recompute", [1, 3, 1])]
)
def test_a_changed_curve_is_previewed_and_applied(
    tenant_a: Tenant, xp: CurrencyView, policy: str, levels: list[int]
) -> None:
    prize = make_item(tenant_a, "prize", unit_cost=5)
    create(tenant_a, [level(1, 0), level(2, 100), level(3, 1000, prize)])
    players = [player_of(tenant_a, name) for name in ("ana", "ben", "dora")]
    for player_id, amount in zip(players, (120, 600, 20), strict=True):
        credit(player_id, xp, amount)
    changed = document([level(1, 0), level(2, 200), level(3, 500, prize)])

    parameters = {"ladder_id": "levels", "document": changed, "policy": policy}
    told = run(jobs.enqueue(tenant_a.pk, "ladder_preview", parameters, "ops", NOON))
    ladders.change_ladder(tenant_a.pk, "levels", {**changed, "policy": policy}, actor=OPS, now=NOON)
    job = Job.objects.get(kind="ladder_apply")
    result = run(job)

    downs = sum(after == 1 for after in levels[:1])
    assert (told["up"], told["down"], told["cost"]) == (1, downs, 5)
    assert [level_of(player_id) for player_id in players] == levels
    assert result == {"moved": 1 + downs}
    assert [names_of_grants(player_id) for player_id in players] == [[], ["prize"], []]


def test_a_changed_curve_needs_a_policy(tenant_a: Tenant, xp: CurrencyView) -> None:
    create(tenant_a, [level(1, 0), level(2, 100)])

    with pytest.raises(DocumentError) as caught:
        ladders.change_ladder(
            tenant_a.pk, "levels", document([level(1, 0), level(2, 50)]), actor=OPS, now=NOON
        )

    assert caught.value.faults[0].path == "policy"
    ladders.change_ladder(
        tenant_a.pk,
        "levels",
        document([level(1, 0), level(2, 100)], name="New name"),
        actor=OPS,
        now=NOON,
    )
    assert not Job.objects.exists()


def test_the_same_preview_has_the_same_hash(tenant_a: Tenant, xp: CurrencyView) -> None:
    ladder = create(tenant_a, [level(1, 0), level(2, 100)])
    credit(player_of(tenant_a), xp, 60)
    _, curve = ladders.parse_document(tenant_a.pk, document([level(1, 0), level(2, 50)]))

    first = ladder_changes.preview_curve(ladder, curve, "recompute")
    again = ladder_changes.preview_curve(ladder, curve, "recompute")

    assert first == again
    assert first.up == 1


def test_grandfathered_players_keep_their_level_until_a_recompute(
    tenant_a: Tenant, xp: CurrencyView
) -> None:
    create(tenant_a, [level(1, 0), level(2, 100)])
    ana = player_of(tenant_a)
    movement = credit(ana, xp, 150)
    steeper = document([level(1, 0), level(2, 1000)], policy="grandfather")
    ladders.change_ladder(tenant_a.pk, "levels", steeper, actor=OPS, now=NOON)
    run(Job.objects.get(kind="ladder_apply"))

    reverse(ana, xp, 150, movement.transaction_id)

    assert level_of(ana) == 2


def test_unknown_items_are_named(tenant_a: Tenant, xp: CurrencyView) -> None:
    with pytest.raises(DocumentError) as caught:
        create(tenant_a, [{"level": 1, "xp_required": 0, "item_ids": [str(uuid4())]}])

    assert caught.value.faults[0].path == "levels.0.item_ids.0"
