"""The pages of reward items, configs and grants: forms in fields, actions with reasons."""

from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client

from rewards.models import Grant, RewardConfig, RewardItem
from tenants.models import AuditEntry, Tenant
from tests.rewards.grant_cast import (
    badge,
    item_document,
    new_config,
    new_currency,
    new_item,
    statuses,
    tier,
)
from tests.rewards.ledger_cast import balance_of, player_of
from tests.staff import allow, allow_everything, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db

ITEMS, CONFIGS, GRANTS = (
    f"/admin/rewards/{name}/" for name in ("rewarditem", "rewardconfig", "grant")
)
AGREED = {"confirmed": "1", "reason": "Asked for by support."}


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


def item_form(**changed: Any) -> dict[str, Any]:
    return {
        "tenant": "tenant-a",
        "name": "500 gold",
        "description": "",
        "image_url": "",
        "reward_type": "currency",
        "currency": "gold",
        "amount": "500",
        "quantity": "1",
        "freezes": "1",
        "unit_cost": "5",
        "claim": "automatic",
        "is_active": "on",
    } | changed


def config_form(tiers: str, **changed: Any) -> dict[str, Any]:
    return {
        "tenant": "tenant-a",
        "name": "Prizes",
        "config_type": "leaderboard",
        "tiers": tiers,
        "is_active": "on",
    } | changed


def errors_of(answer: Any) -> dict[str, list[str]]:
    form = answer.context["adminform"].form
    return {name: list(said) for name, said in form.errors.items()}


# --- Items ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "payload"),
    [
        ({}, {"currency_id": "gold", "amount": 500}),
        ({"reward_type": "badge", "badge_id": "star"}, {"badge_id": "star", "tier": None}),
        (
            {"reward_type": "item", "item_key": "s", "quantity": "2"},
            {"item_id": "s", "quantity": 2},
        ),
        (
            {"reward_type": "physical_item", "details": '{"size": "XL"}'},
            {"size": "XL"},
        ),
        (
            {
                "reward_type": "bonus_offer",
                "bonus_offer_id": "o",
                "amount": "1.5",
                "bonus_currency": "EUR",
            },
            {"bonus_offer_id": "o", "amount": 1.5, "currency": "EUR"},
        ),
        ({"reward_type": "streak_freeze", "freezes": "2"}, {"streak_id": None, "count": 2}),
    ],
)
def test_an_item_is_made_of_the_fields_of_its_type(
    client: Client, tenant_a: Tenant, sent: dict[str, str], payload: dict[str, Any]
) -> None:
    new_currency(tenant_a)

    answer = client.post(f"{ITEMS}add/", item_form(**sent))

    assert answer.status_code == 302, errors_of(answer)
    made = RewardItem.objects.get()
    assert (made.payload, made.unit_cost, made.version) == (payload, 5, 1)
    assert AuditEntry.objects.get(action="reward_item.created").actor_label == "ops"


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"amount": "0.5"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"currency": "silver"}, "currency"),
        ({"reward_type": "badge"}, "badge_id"),
        ({"reward_type": "item", "item_key": "s", "quantity": "0"}, "quantity"),
        ({"reward_type": "physical_item", "details": "nonsense"}, "details"),
        ({"reward_type": "bonus_offer"}, "bonus_offer_id"),
        ({"image_url": "ftp://x"}, "image_url"),
        ({"name": ""}, "name"),
    ],
)
def test_each_fault_stands_at_its_field(
    client: Client, tenant_a: Tenant, sent: dict[str, str], field: str
) -> None:
    new_currency(tenant_a)

    answer = client.post(f"{ITEMS}add/", item_form(**sent))

    assert answer.status_code == 200
    assert set(errors_of(answer)) == {field}
    assert not RewardItem.objects.exists()


def test_an_item_s_page_fills_its_fields_and_shows_what_gives_it(
    client: Client, tenant_a: Tenant
) -> None:
    new_currency(tenant_a)
    item = new_item(tenant_a)
    new_config(tenant_a, tier(1, 1, item))
    page = f"{ITEMS}{item.pk}/change/"

    shown = client.get(page)

    initial = shown.context["adminform"].form.initial
    assert (initial["currency"], initial["amount"]) == ("gold", 500)
    assert "Reward config: Prizes" in text_of(shown)
    changed = item_form(name="Gold", amount="600", expected_version="1", reason="More.")
    assert client.post(page, changed).status_code == 302
    item.refresh_from_db()
    assert (item.name, item.payload["amount"], item.version) == ("Gold", 600, 2)
    stale = client.post(page, changed | {"name": "Stale"}, follow=True)
    assert "version 2" in " ".join(messages_of(stale))
    item.refresh_from_db()
    assert item.name == "Gold"
    history = text_of(client.get(page))
    assert "More." in history
    assert "payload amount" in history.replace("payload.amount", "payload amount")


def test_items_are_copied_and_archived(client: Client, tenant_a: Tenant) -> None:
    item = new_item(tenant_a, badge("Cup"))

    assert "Duplicate Cup" in text_of(client.get(f"{ITEMS}{item.pk}/duplicate/"))
    copied = client.post(f"{ITEMS}{item.pk}/duplicate/", {"confirmed": "1"}, follow=True)
    client.post(ITEMS, {"action": "archive_selected", "_selected_action": [str(item.pk)]})

    assert "Cup (copy)" in text_of(copied)
    assert dict(RewardItem.objects.values_list("name", "is_active")) == {
        "Cup": False,
        "Cup (copy)": True,
    }
    assert client.get(f"{ITEMS}{item.pk}/delete/").status_code == 403


def test_who_may_only_look_sees_no_form(ops: AbstractUser, tenant_a: Tenant) -> None:
    allow(ops, "view_rewarditem", "view_rewardconfig")
    item = new_item(tenant_a, badge("Cup"))
    config = new_config(tenant_a, tier(1, 1, item))
    reader = signed_in(ops)

    for page in (f"{ITEMS}{item.pk}/change/", f"{CONFIGS}{config.pk}/change/"):
        shown = reader.get(page)
        assert shown.status_code == 200
        assert "Cup" in text_of(shown)
        assert reader.post(page, item_form()).status_code == 403


# --- Configs -------------------------------------------------------------------------------------


def test_a_config_is_made_and_said_in_words(client: Client, tenant_a: Tenant) -> None:
    cup, star = new_item(tenant_a, badge("Cup")), new_item(tenant_a, badge("Star"))
    tiers = (
        f'[{{"rank_min": 1, "name": "Winner", "item_ids": ["{cup.pk}"]}},'
        f'{{"rank_min": 2, "rank_max": 3, "item_ids": ["{cup.pk}", "{star.pk}"]}}]'
    )

    answer = client.post(f"{CONFIGS}add/", config_form(tiers))

    assert answer.status_code == 302, errors_of(answer)
    made = RewardConfig.objects.get()
    page = text_of(client.get(f"{CONFIGS}{made.pk}/change/"))
    assert "Rank 1 (Winner): Cup" in page
    assert "Ranks 2 to 3: Cup, Star" in page
    assert "Rank 1; Ranks 2 to 3" in text_of(client.get(CONFIGS))


def test_faults_of_tiers_are_said_by_their_place(client: Client, tenant_a: Tenant) -> None:
    cup = new_item(tenant_a, badge("Cup"))
    tiers = (
        f'[{{"rank_min": 1, "rank_max": 3, "item_ids": ["{cup.pk}"]}},'
        f'{{"rank_min": 3, "item_ids": ["{cup.pk}"]}}]'
    )

    overlapping = client.post(f"{CONFIGS}add/", config_form(tiers))
    nonsense = client.post(f"{CONFIGS}add/", config_form("nonsense"))
    empty = client.post(f"{CONFIGS}add/", config_form('[{"rank_min": 1}]'))

    assert errors_of(overlapping) == {"tiers": ["Tier 2, from rank: overlaps with another tier."]}
    assert set(errors_of(nonsense)) == {"tiers"}
    assert errors_of(empty) == {"tiers": ["Tier 1, items: must name at least one item."]}
    assert not RewardConfig.objects.exists()


def test_a_config_is_changed_in_versions(client: Client, tenant_a: Tenant) -> None:
    cup = new_item(tenant_a, badge("Cup"))
    config = new_config(tenant_a, tier(1, 1, cup))
    page = f"{CONFIGS}{config.pk}/change/"
    tiers = f'[{{"rank_min": 1, "rank_max": 5, "item_ids": ["{cup.pk}"]}}]'

    answer = client.post(page, config_form(tiers, expected_version="1"))

    assert answer.status_code == 302, errors_of(answer)
    config.refresh_from_db()
    assert (config.tiers[0]["rank_max"], config.version) == (5, 2)
    assert config.config_type == "leaderboard"
    client.post(f"{CONFIGS}{config.pk}/duplicate/", {"confirmed": "1"})
    client.post(CONFIGS, {"action": "archive_selected", "_selected_action": [str(config.pk)]})
    assert dict(RewardConfig.objects.values_list("name", "is_active")) == {
        "Prizes": False,
        "Prizes (copy)": True,
    }


# --- Grants --------------------------------------------------------------------------------------


def give(client: Client, item: RewardItem, user_id: str = "ana") -> Grant:
    sent = AGREED | {"item": str(item.pk), "user_id": user_id}
    answer = client.post(f"{GRANTS}give/", sent)
    assert answer.status_code == 302
    return Grant.objects.latest("created_at")


def test_a_reward_is_given_by_hand(client: Client, tenant_a: Tenant) -> None:
    gold = new_currency(tenant_a)
    item = new_item(tenant_a)

    asked = client.get(f"{GRANTS}give/")
    silent = client.post(f"{GRANTS}give/", {"confirmed": "1", "item": str(item.pk)})
    made = give(client, item)

    assert "500 gold (tenant-a)" in text_of(asked)
    assert set(silent.context["form"].errors) == {"user_id", "reason"}
    assert (made.source_type, made.status) == ("manual", "granted")
    assert balance_of(player_of(tenant_a), gold) == 500
    page = text_of(client.get(f"{GRANTS}{made.pk}/change/"))
    assert "500 gold" in page
    assert "Asked for by support." in page
    assert "500 gold (wallet)" in page
    assert "500 gold" in text_of(client.get(f"{GRANTS}?player=ana"))
    entry = AuditEntry.objects.get(action="grant.given")
    assert (entry.actor_label, entry.reason) == ("ops", AGREED["reason"])


def test_a_grant_goes_its_way_by_actions_with_reasons(client: Client, tenant_a: Tenant) -> None:
    waiting = give(client, new_item(tenant_a, badge("Cup", claim="player")))
    parcel = give(
        client, new_item(tenant_a, item_document(reward_type="physical_item", payload={}))
    )

    asked = client.get(f"{GRANTS}{waiting.pk}/claim/")
    assert "Cup" in text_of(asked)
    assert statuses(waiting.pk) == ["unclaimed"]
    client.post(f"{GRANTS}{waiting.pk}/claim/", AGREED)
    client.post(f"{GRANTS}{waiting.pk}/revoke/", AGREED)
    client.post(f"{GRANTS}{parcel.pk}/fulfill/", AGREED)
    refused = client.post(f"{GRANTS}{parcel.pk}/retry/", AGREED, follow=True)

    assert statuses(waiting.pk) == ["unclaimed", "processing", "granted", "revoked"]
    assert statuses(parcel.pk) == ["processing", "granted"]
    assert "only a failed one is retried" in " ".join(messages_of(refused))
    move = waiting.moves.latest("pk")
    assert (move.actor, move.reason) == ("ops", AGREED["reason"])


def test_many_grants_are_revoked_at_once_and_one_that_cannot_be_stops_none(
    client: Client, tenant_a: Tenant
) -> None:
    item = new_item(tenant_a, badge("Cup"))
    made = [give(client, item, name) for name in ("ana", "ben")]
    client.post(f"{GRANTS}{made[0].pk}/revoke/", AGREED)
    chosen = {"action": "revoke_selected", "_selected_action": [str(each.pk) for each in made]}

    asked = client.post(GRANTS, chosen)
    done = client.post(GRANTS, chosen | AGREED, follow=True)

    assert "ben" in text_of(asked)
    assert [each.status for each in Grant.objects.order_by("pk")] == ["revoked", "revoked"]
    said = " ".join(messages_of(done))
    assert "cannot become revoked" in said
    assert "Revoked: Cup." in said


def test_rights_to_give_and_to_revoke_are_told_apart(ops: AbstractUser, tenant_a: Tenant) -> None:
    allow_everything(ops)
    made = give(signed_in(ops), new_item(tenant_a, badge("Cup")))
    ops.user_permissions.clear()
    allow(ops, "view_grant")
    reader = signed_in(ops)

    assert reader.get(f"{GRANTS}{made.pk}/change/").status_code == 200
    for word in ("claim", "revoke", "retry", "fulfill"):
        assert reader.post(f"{GRANTS}{made.pk}/{word}/", AGREED).status_code == 403
    assert reader.get(f"{GRANTS}give/").status_code == 403
    assert statuses(made.pk) == ["processing", "granted"]


def test_pages_of_another_tenant_s_rewards_are_closed(
    client: Client, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    theirs = new_item(tenant_b, badge("Theirs"))
    config = new_config(tenant_b, tier(1, 1, theirs))

    assert "Theirs" not in text_of(client.get(ITEMS))
    for page in (f"{ITEMS}{theirs.pk}/change/", f"{CONFIGS}{config.pk}/change/"):
        assert client.get(page).status_code == 302
    sent = AGREED | {"item": str(theirs.pk), "user_id": "ana"}
    assert client.post(f"{GRANTS}give/", sent).status_code == 200
    assert not Grant.objects.exists()
    tiers = f'[{{"rank_min": 1, "item_ids": ["{theirs.pk}"]}}]'
    foreign = client.post(f"{CONFIGS}add/", config_form(tiers))
    assert errors_of(foreign) == {"tiers": ["Tier 1, items: is not a reward item of the tenant."]}
