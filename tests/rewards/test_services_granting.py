"""Giving within settlements: groups, repeats, silence, and the operator who polls."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from pytest_django.fixtures import DjangoAssertNumQueries

from ingestion.models import Event
from rewards.exceptions import StateConflictError
from rewards.models import Firing, Grant, GrantMove, LedgerTransaction, RewardItem
from rewards.rules.grants import TRANSITIONS, check_transition
from rewards.selectors.items import item_view
from rewards.services import claims
from rewards.services.granting import GrantDesk, GrantLine
from rewards.services.pipe import settling
from rewards.types.causes import Cause
from tenants.models import Delivery, Tenant
from tests.rewards import rule_log
from tests.rewards.grant_cast import badge, item_document, new_currency, new_item, statuses
from tests.rewards.ledger_cast import NOON, balance_of, player_of

pytestmark = pytest.mark.django_db


def cause_of(tenant: Tenant, source_id: str = "s-1", **changes: Any) -> Cause:
    values: dict[str, Any] = {"source_type": "streak", "kind": "event", "id": "e-1"}
    return Cause(tenant_id=tenant.pk, source_id=source_id, **(values | changes))


@transaction.atomic
def give(
    player_id: UUID,
    given: Sequence[RewardItem],
    cause: Cause,
    *,
    now: datetime = NOON,
    **options: Any,
) -> list[Grant]:
    with settling([player_id], now=now) as settlement:
        lines = [GrantLine(item_view(item)) for item in given]
        desk = settlement.part(GrantDesk)
        options = {"context": {"milestone": 7}} | options
        return desk.give(player_id, items=lines, cause=cause, **options)


def test_what_one_cause_gives_is_a_group(tenant_a: Tenant) -> None:
    items = [new_item(tenant_a, badge(name)) for name in ("Star", "Moon")]
    ana, ben = player_of(tenant_a, "ana"), player_of(tenant_a, "ben")

    star, moon = give(ana, items, cause_of(tenant_a))
    other = give(ben, items[:1], cause_of(tenant_a))[0]
    single = give(ana, items, cause_of(tenant_a, "s-2"), group=False)

    assert star.group_id == moon.group_id != other.group_id
    assert (star.group_total, other.group_total) == (2, 1)
    assert len({star.group_id, *(each.group_id for each in single)}) == 3
    assert [each.group_total for each in single] == [1, 1]
    assert Grant.objects.get(pk=star.pk).context == {"milestone": 7}


def test_a_source_gives_each_item_once_whatever_repeats(tenant_a: Tenant) -> None:
    gold = new_currency(tenant_a)
    money, star = new_item(tenant_a), new_item(tenant_a, badge())
    ana = player_of(tenant_a)

    first = give(ana, [money, money, star], cause_of(tenant_a))
    again = give(ana, [money, money, star], cause_of(tenant_a))
    later = give(ana, [money], cause_of(tenant_a), ordinal=3)

    assert [each.pk for each in again] == [each.pk for each in first]
    assert [each.ordinal for each in first] == [1, 2, 1]
    assert later[0].pk not in {each.pk for each in first}
    assert balance_of(ana, gold) == 1500
    assert Grant.objects.count() == 4


def test_what_was_revoked_is_not_given_again(tenant_a: Tenant) -> None:
    star, ana = new_item(tenant_a, badge()), player_of(tenant_a)
    made = give(ana, [star], cause_of(tenant_a))[0]
    with transaction.atomic(), settling([ana], now=NOON) as settlement:
        desk = settlement.part(GrantDesk)
        found = desk.grants_of((tenant_a.pk, "streak", "s-1", ana))[0]
        desk.revoke(found, actor="Ops", reason="A mistake.")

    again = give(ana, [star], cause_of(tenant_a))[0]

    assert (again.pk, again.status) == (made.pk, "revoked")


def test_a_group_is_claimed_together(tenant_a: Tenant) -> None:
    gold = new_currency(tenant_a)
    items = [
        new_item(tenant_a, item_document(claim="player")),
        new_item(tenant_a, badge("Star", claim="player", claim_within_s=60)),
        new_item(tenant_a, badge("Moon")),
    ]
    ana = player_of(tenant_a)
    group_id = give(ana, items, cause_of(tenant_a))[0].group_id

    late = NOON + timedelta(seconds=61)
    claimed = claims.claim_group(tenant_a.pk, group_id, user_id="ana", now=late)
    again = claims.claim_group(tenant_a.pk, group_id, user_id="ana", now=late)

    assert [each.status for each in claimed] == ["granted", "expired", "granted"]
    assert [each.status for each in again] == ["granted", "expired", "granted"]
    assert balance_of(ana, gold) == 500


def test_a_group_of_which_nothing_is_left_cannot_be_claimed(tenant_a: Tenant) -> None:
    star = new_item(tenant_a, badge(claim="player", claim_within_s=60))
    made = give(player_of(tenant_a), [star], cause_of(tenant_a))[0]

    with pytest.raises(StateConflictError):
        claims.claim_group(
            tenant_a.pk, made.group_id, user_id="ana", now=NOON + timedelta(seconds=60)
        )

    assert statuses(made.pk) == ["unclaimed", "expired"]


def test_a_grant_that_such_an_event_caused_appends_none(tenant_a: Tenant) -> None:
    star, ana = new_item(tenant_a, badge()), player_of(tenant_a)
    followed = cause_of(tenant_a, "s-1", event_id="reward.granted:x", depth=1)
    pretended = cause_of(tenant_a, "s-2", event_id="reward.granted:x", depth=0)

    give(ana, [star], followed)
    loud = give(ana, [star], pretended)[0]

    told = Event.objects.get(type="reward.granted")
    assert told.event_id == f"reward.granted:{loud.pk}"
    assert (told.depth, told.user_id, told.cause) == (1, "ana", "reward.granted:x")
    assert told.attrs["source_id"] == "s-2"


def test_a_grant_that_cannot_be_delivered_says_why(tenant_a: Tenant) -> None:
    item = RewardItem.objects.create(
        tenant=tenant_a, name="Points", reward_type="points", payload={"amount": 5}
    )

    made = give(player_of(tenant_a), [item], cause_of(tenant_a))[0]

    stored = Grant.objects.get(pk=made.pk)
    assert (stored.status, stored.note) == ("failed", "The tenant no longer has the currency.")
    assert not LedgerTransaction.objects.exists()


def test_the_cost_is_that_of_the_item(tenant_a: Tenant) -> None:
    new_currency(tenant_a, unit_cost=Decimal("0.01"))
    items = [
        new_item(tenant_a, item_document(name="Own", unit_cost=7)),
        new_item(tenant_a, item_document(name="Money")),
    ]

    made = give(player_of(tenant_a), items, cause_of(tenant_a))

    assert [Grant.objects.get(pk=each.pk).cost for each in made] == [7, 5]


def test_many_grants_are_written_as_few_are(
    tenant_a: Tenant, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    star = new_item(tenant_a, badge())
    players = [player_of(tenant_a, f"p-{number}") for number in range(30)]
    give(players[0], [star], cause_of(tenant_a, "warm"))

    def give_to(chosen: Sequence[UUID], name: str) -> None:
        with transaction.atomic(), settling(chosen, now=NOON) as settlement:
            desk = settlement.part(GrantDesk)
            desk.prepare_sources([(tenant_a.pk, "streak", name, each) for each in chosen])
            for each in chosen:
                desk.give(
                    each,
                    items=[GrantLine(item_view(star))],
                    cause=cause_of(tenant_a, name),
                    context={},
                )

    # The players, their facts and wallets, the book, what was given; then what was made of it.
    for count in (2, 30):
        with django_assert_num_queries(9):
            give_to(players[:count], f"n-{count}")
    assert GrantMove.objects.count() == 2 * 33


def test_only_the_moves_of_the_table_are_made() -> None:
    for status, allowed in TRANSITIONS.items():
        for to in [*TRANSITIONS, "lost"]:
            if to in allowed:
                check_transition(status, to)
            else:
                with pytest.raises(StateConflictError):
                    check_transition(status, to)


# --- A rule that gives, an operator that polls ---------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_rule_s_grant_names_rule_firing_and_event(tenant_a: Tenant) -> None:
    star = rule_log.item(tenant_a)
    rule_log.active(tenant_a, effects=[rule_log.grant(star)])

    event = rule_log.send(tenant_a)
    rule_log.process()

    made, firing = Grant.objects.get(), Firing.objects.get()
    assert (made.source_type, made.rule_version, made.firing) == ("rule", 1, firing)
    assert made.cause_event_id == event.event_id
    assert (made.snapshot["name"], made.status) == ("Sword", "granted")


@pytest.mark.django_db(transaction=True)
def test_an_operator_that_polls_confirms_with_an_event(tenant_a: Tenant) -> None:
    Tenant.objects.filter(pk=tenant_a.pk).update(bonus_mode="poll")
    offer = new_item(
        tenant_a, item_document(reward_type="bonus_offer", payload={"bonus_offer_id": "o-1"})
    )
    ana = player_of(tenant_a)
    made, other = (give(ana, [offer], cause_of(tenant_a, name))[0] for name in ("s-1", "s-2"))
    assert not Delivery.objects.exists()

    rule_log.send(tenant_a, "ben", type="bonus.granted", grantId=str(made.pk))
    rule_log.process()
    assert Grant.objects.get(pk=made.pk).status == "processing"
    rule_log.send(tenant_a, "ana", type="bonus.granted", grantId=str(made.pk))
    rule_log.send(tenant_a, "ana", type="bonus.granted", grantId=str(made.pk))
    rule_log.send(tenant_a, "ana", type="bonus.granted", grantId="nonsense")
    rule_log.process()

    assert statuses(made.pk) == ["processing", "granted"]
    assert statuses(other.pk) == ["processing"]
    assert Event.objects.filter(type="reward.granted").count() == 1
