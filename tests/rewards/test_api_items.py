"""Reward items and configs on the admin gateway: collections, versions, archives (ADM-1 to 3)."""

from typing import Any
from uuid import uuid4

import pytest

from rewards.models import DocumentVersion, RewardItem
from rewards.selectors.book import book_of
from tenants.models import AuditEntry, Tenant
from tests.rewards.api_cast import Api, admin_api
from tests.rewards.grant_cast import badge, item_document, new_currency, new_item, tier

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(tenant_a: Tenant) -> Api:
    new_currency(tenant_a)
    return admin_api(tenant_a)


def test_an_item_is_made_with_every_default(office: Api) -> None:
    answer = office.post("reward-items", item_document(unit_cost=5))

    assert answer.status_code == 201
    made = answer.json()
    assert made["item_id"] == made["id"] == str(RewardItem.objects.get().pk)
    assert made == {
        "id": made["id"],
        "item_id": made["id"],
        "tenant_id": "tenant-a",
        "name": "500 gold",
        "description": "",
        "image_url": None,
        "reward_type": "currency",
        "payload": {"currency_id": "gold", "amount": 500},
        "unit_cost": 5,
        "claim": "automatic",
        "claim_within_s": None,
        "activation": "automatic",
        "active": True,
        "version": 1,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
    }
    assert office.get(f"reward-items/{made['id']}").json() == made


def test_every_fault_is_answered_with_its_path(office: Api) -> None:
    answer = office.post("reward-items", {"reward_type": "currency", "payload": {"amount": -1}})

    assert answer.status_code == 400
    assert answer.json()["code"] == "VAL_001"
    named = {detail["field"] for detail in answer.json()["details"]}
    assert named == {"name", "payload.currency_id", "payload.amount"}


@pytest.mark.parametrize("reward_type", ["booster", "spin", "api"])
def test_types_of_later_are_refused_as_not_supported_yet(office: Api, reward_type: str) -> None:
    answer = office.post("reward-items", item_document(reward_type=reward_type, payload={}))

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert answer.json()["details"] == [{"field": "reward_type", "message": "not supported yet"}]


@pytest.mark.parametrize(
    ("path", "plural"), [("reward-items", "reward_items"), ("rewards", "rewards")]
)
def test_the_list_is_newest_first_and_can_be_searched(office: Api, path: str, plural: str) -> None:
    names = ["Gold star", "Silver star", "Cup"]
    made = [office.post(path, badge(name)).json() for name in names]
    office.delete(f"{path}/{made[0]['id']}")

    def listed(**query: Any) -> list[str]:
        answer = office.get(path, **query).json()
        assert set(answer) == {"total", plural}
        return [each["name"] for each in answer[plural]]

    assert listed() == ["Cup", "Silver star", "Gold star"]
    assert listed(q="STAR") == ["Silver star", "Gold star"]
    assert listed(status="active") == ["Cup", "Silver star"]
    assert listed(status="inactive") == ["Gold star"]
    assert listed(reward_type="currency") == []
    assert listed(limit=1, offset=1) == ["Silver star"]
    assert office.get(path, limit=1).json()["total"] == 3
    assert office.get(path, limit=201).status_code == 400
    assert office.get(path, status="gone").json()["details"][0]["field"] == "status"


def test_the_collection_answers_below_the_query_s_tenant_too(
    office: Api, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    short = Api(office.headers)

    made = short.post("reward-items?tenant_id=tenant-a", badge("Cup"))

    assert made.status_code == 201
    listed = short.get("rewards", tenant_id="tenant-a").json()
    assert [each["name"] for each in listed["rewards"]] == ["Cup"]
    assert short.get("reward-items").json()["details"][0]["field"] == "tenant_id"
    assert short.get("reward-items", tenant_id="tenant-b").status_code == 403
    wrong = short.post("reward-items?tenant_id=tenant-a", badge("Cup") | {"tenant_id": "tenant-b"})
    assert (wrong.status_code, wrong.json()["details"][0]["field"]) == (400, "tenant_id")


def test_each_change_is_a_version_with_its_author(office: Api) -> None:
    made = office.post("reward-items", badge("Cup")).json()
    place = f"reward-items/{made['id']}"

    changed = office.patch(place, {"unit_cost": 2.5, "version": 1})
    stale = office.patch(place, {"unit_cost": 3, "version": 1})
    same = office.put(place, changed.json() | {"version": 2})
    replaced = office.put(place, badge("Goblet"))

    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (stale.status_code, stale.json()["code"]) == (409, "VERSION_CONFLICT")
    assert (same.status_code, same.json()["version"]) == (200, 2)
    assert (replaced.json()["version"], replaced.json()["unit_cost"]) == (3, 0)
    versions = office.get(f"{place}/versions").json()
    assert versions["total"] == 3
    assert [each["version"] for each in versions["versions"]] == [3, 2, 1]
    assert versions["versions"][0]["author"] == "Back office"
    assert versions["versions"][0]["document"]["name"] == "Goblet"
    assert versions["versions"][2]["document"]["unit_cost"] == 0
    entry = AuditEntry.objects.filter(action="reward_item.changed").latest("at")
    assert (entry.before or {})["name"] == "Cup"
    assert (entry.after or {})["name"] == "Goblet"


def test_another_type_needs_a_payload_of_its_own(office: Api) -> None:
    made = office.post("reward-items", item_document()).json()

    half = office.patch(f"reward-items/{made['id']}", {"reward_type": "badge"})
    whole = office.patch(
        f"reward-items/{made['id']}", {"reward_type": "badge", "payload": {"badge_id": "star"}}
    )

    assert half.json()["details"][0]["field"] == "payload.badge_id"
    assert whole.json()["payload"] == {"badge_id": "star", "tier": None}


def test_a_copy_is_a_new_object_with_the_changes_asked_for(office: Api) -> None:
    made = office.post("reward-items", badge("Cup", claim="player")).json()

    copy = office.post(f"reward-items/{made['id']}/duplicate")
    other = office.post(f"reward-items/{made['id']}/duplicate", {"name": "Goblet"})

    assert copy.status_code == other.status_code == 201
    assert (copy.json()["name"], copy.json()["claim"]) == ("Cup (copy)", "player")
    assert (copy.json()["version"], other.json()["name"]) == (1, "Goblet")
    assert len({made["id"], copy.json()["id"], other.json()["id"]}) == 3


def test_deleting_archives_and_what_was_archived_can_come_back(office: Api) -> None:
    made = office.post("reward-items", badge("Cup")).json()
    place = f"reward-items/{made['id']}"

    first, again = office.delete(place), office.delete(place)

    assert first.status_code == again.status_code == 204
    assert office.get(place).json()["active"] is False
    assert DocumentVersion.objects.filter(object_id=made["id"]).count() == 2
    assert office.patch(place, {"active": True}).json()["active"] is True


def test_a_key_without_the_scope_is_refused(tenant_a: Tenant) -> None:
    reader = admin_api(tenant_a, "rewards:read")
    stranger = admin_api(tenant_a, "wallet:read", "wallet:write")

    assert reader.get("reward-items").status_code == 200
    assert reader.post("reward-items", badge()).status_code == 403
    assert stranger.get("reward-items").status_code == 403


def test_another_tenant_s_item_looks_like_none(office: Api, tenant_b: Tenant) -> None:
    theirs = new_item(tenant_b, badge("Theirs"))

    for item_id in (theirs.pk, uuid4()):
        place = f"reward-items/{item_id}"
        answers = [
            office.get(place),
            office.put(place, badge()),
            office.patch(place, {"name": "Mine"}),
            office.delete(place),
            office.post(f"{place}/duplicate"),
            office.get(f"{place}/versions"),
        ]
        assert {each.status_code for each in answers} == {404}
        assert {each.json()["code"] for each in answers} == {"NOT_FOUND"}
    theirs.refresh_from_db()
    assert (theirs.name, theirs.version, theirs.is_active) == ("Theirs", 1, True)


def test_a_text_that_no_column_takes_is_refused(office: Api) -> None:
    answer = office.post("reward-items", badge("Cup", description="a\x00b"))

    assert (answer.status_code, answer.json()["details"][0]["field"]) == (400, "description")


def test_a_config_gives_items_of_the_tenant_only(
    office: Api, tenant_a: Tenant, tenant_b: Tenant
) -> None:
    own, theirs = new_item(tenant_a, badge("Own")), new_item(tenant_b, badge("Theirs"))
    document = {"name": "Prizes", "type": "leaderboard", "tiers": [tier(1, 1, own)]}

    made = office.post("reward-configs", document)
    foreign = office.post("reward-configs", document | {"tiers": [tier(1, 1, theirs)]})
    overlapping = office.post(
        "reward-configs", document | {"tiers": [tier(1, 3, own), tier(3, 4, own)]}
    )

    assert made.status_code == 201
    assert made.json()["tiers"][0]["item_ids"] == [own.id_text]
    assert foreign.json()["details"][0]["field"] == "tiers.0.item_ids.0"
    assert overlapping.json()["details"][0]["field"] == "tiers.1.rank_min"
    assert office.get("reward-configs").json()["total"] == 1
    assert office.get("reward-configs", type="streak").json()["total"] == 0


def test_a_config_keeps_its_type_and_changes_in_versions(office: Api, tenant_a: Tenant) -> None:
    cup, star = new_item(tenant_a, badge("Cup")), new_item(tenant_a, badge("Star"))
    document = {"name": "Prizes", "type": "leaderboard", "tiers": [tier(1, 1, cup)]}
    made = office.post("reward-configs", document).json()
    place = f"reward-configs/{made['id']}"

    other = office.put(
        place,
        {"name": "P", "type": "streak", "tiers": [{"milestone": 7, "item_ids": [cup.id_text]}]},
    )
    changed = office.patch(place, {"tiers": [tier(1, 2, star)], "version": 1})

    assert other.json()["details"] == [{"field": "type", "message": "cannot be changed"}]
    assert (changed.json()["version"], changed.json()["tiers"][0]["rank_max"]) == (2, 2)
    assert office.get(f"{place}/versions").json()["total"] == 2
    assert office.post(f"{place}/duplicate").json()["name"] == "Prizes (copy)"
    assert office.delete(place).status_code == 204


def test_a_change_is_in_the_book_at_once(office: Api, tenant_a: Tenant) -> None:
    made = office.post("reward-items", badge("Cup")).json()
    assert [each.name for each in book_of(tenant_a.pk).items.values()] == ["Cup"]

    office.patch(f"reward-items/{made['id']}", {"name": "Goblet"})

    assert [each.name for each in book_of(tenant_a.pk).items.values()] == ["Goblet"]
