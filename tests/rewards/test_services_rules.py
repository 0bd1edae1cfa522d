from datetime import timedelta
from typing import Any

import pytest

from phoenix_site.common.exceptions import NotFoundError
from rewards.exceptions import (
    AlreadyExistsError,
    DocumentError,
    StateConflictError,
    VersionConflictError,
)
from rewards.models import BookStamp, Rule, RuleBudget, RuleChange, RuleUse
from rewards.selectors import rules as selectors
from rewards.selectors.book import book_of
from rewards.services import rule_changes, rules
from tenants.models import AuditEntry, Tenant
from tenants.services.audit import SYSTEM
from tests.rewards import achievement_cast, coupon_cast
from tests.rewards.rule_log import (
    BEFORE,
    NOON,
    activate,
    active,
    currency,
    document,
    draft,
    grant,
    item,
    pause,
    process,
    send,
)

pytestmark = pytest.mark.django_db
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def tenant(tenant_a: Tenant) -> Tenant:
    currency(tenant_a)
    return tenant_a


def rule(rule_id: str = "big-win") -> Rule:
    return Rule.objects.get(rule_id=rule_id)


def patch(tenant: Tenant, named: str = "big-win", /, **changes: Any) -> Any:
    return rules.patch_rule(tenant.pk, named, changes, actor=SYSTEM, now=NOON)


def faults_of(caught: pytest.ExceptionInfo[DocumentError]) -> dict[str, str]:
    return {fault.path: fault.message for fault in caught.value.faults}


# --- Documents -----------------------------------------------------------------------------------


def test_an_id_is_given_once_in_a_tenant(tenant: Tenant, tenant_b: Tenant) -> None:
    currency(tenant_b)
    draft(tenant)

    with pytest.raises(AlreadyExistsError):
        draft(tenant)
    assert draft(tenant_b).version == 1
    with pytest.raises(NotFoundError):
        rules.create_rule("nobody", document(), actor=SYSTEM, now=BEFORE)


def test_a_draft_is_edited_in_place_and_a_published_version_never(tenant: Tenant) -> None:
    draft(tenant)
    assert patch(tenant, priority=1).version == 1
    activate(tenant)

    changed = patch(tenant, priority=2)
    again = patch(tenant, priority=3)

    assert (changed.version, changed.status) == (2, "draft")
    assert again.version == 2
    published = rule().versions.get(number=1)
    assert (published.document["priority"], published.published_at) == (1, BEFORE)
    assert selectors.rule_view(tenant.pk, "big-win").document["priority"] == 1


def test_a_version_that_is_not_the_newest_refuses_the_change(tenant: Tenant) -> None:
    draft(tenant)

    with pytest.raises(VersionConflictError):
        patch(tenant, priority=1, version=2)


@pytest.mark.parametrize("changes", [{"rule_id": "other"}, {"kind": "earning"}])
def test_id_and_kind_stay(tenant: Tenant, changes: dict[str, Any]) -> None:
    draft(tenant)

    with pytest.raises(DocumentError) as caught:
        patch(tenant, **changes)

    assert list(faults_of(caught)) == list(changes)


def test_rules_of_a_group_agree_on_its_mode(tenant: Tenant) -> None:
    active(tenant, rule_id="a", group={"name": "bonuses", "mode": "first"})

    with pytest.raises(DocumentError) as caught:
        draft(tenant, rule_id="b", group={"name": "bonuses", "mode": "best"})

    assert list(faults_of(caught)) == ["group.mode"]
    # The only rule of a group may change it.
    assert patch(tenant, "a", group={"name": "bonuses", "mode": "best"}).version == 2


def test_goals_and_coupons_must_be_there(tenant: Tenant) -> None:
    goal = achievement_cast.make(tenant)
    coupon = coupon_cast.make_coupon(tenant)
    effects = [
        {"type": "progress", "goal": f"achievement:{goal.pk}", "amount": 1},
        {"type": "coupon", "coupon_id": str(coupon.pk)},
    ]

    assert draft(tenant, effects=effects).version == 1
    with pytest.raises(DocumentError):
        draft(
            tenant,
            rule_id="other",
            effects=[{"type": "progress", "goal": f"streak:{goal.pk}", "amount": 1}],
        )


# --- Life cycle ----------------------------------------------------------------------------------


def test_every_move_that_the_states_forbid_is_refused(tenant: Tenant) -> None:
    draft(tenant)
    with pytest.raises(StateConflictError):
        pause(tenant)
    activate(tenant)
    with pytest.raises(StateConflictError):
        activate(tenant)
    with pytest.raises(VersionConflictError):
        pause(tenant, version=7)
    with pytest.raises(NotFoundError):
        activate(tenant, version=7)
    pause(tenant)
    with pytest.raises(StateConflictError):
        pause(tenant)
    rule_changes.delete_rule(tenant.pk, "big-win", actor=SYSTEM, now=NOON)
    rule_changes.delete_rule(tenant.pk, "big-win", actor=SYSTEM, now=NOON)

    with pytest.raises(StateConflictError):
        activate(tenant)
    with pytest.raises(StateConflictError):
        patch(tenant, priority=1)


def test_a_paused_rule_resumes_what_was_paused_though_a_draft_waits(tenant: Tenant) -> None:
    active(tenant)
    patch(tenant, priority=9)
    pause(tenant)

    assert activate(tenant).version == 1
    assert activate(tenant, version=2).version == 2


def test_what_it_names_must_still_be_there_when_it_is_published(tenant: Tenant) -> None:
    sword = item(tenant)
    draft(tenant, effects=[grant(sword)])
    sword.is_active = False
    sword.save()
    BookStamp.objects.update(number=1)

    with pytest.raises(DocumentError) as caught:
        activate(tenant)

    assert list(faults_of(caught)) == ["effects.0.item_id"]
    assert rule().status == "draft"


def test_each_change_is_in_the_history_and_in_the_audit_log(tenant: Tenant) -> None:
    active(tenant)
    pause(tenant, now=NOON, reason="too generous")
    activate(tenant, now=NOON + DAY)

    history = RuleChange.objects.order_by("at").values_list("status", "version")
    assert list(history) == [("active", 1), ("paused", None), ("active", 1)]
    reasons = AuditEntry.objects.filter(action="rule.status_changed").values_list("reason")
    assert ("too generous",) in reasons


def test_changes_at_one_instant_keep_their_order(tenant: Tenant) -> None:
    active(tenant)
    pause(tenant)
    activate(tenant)

    times = list(RuleChange.objects.order_by("pk").values_list("at", flat=True))
    assert times == sorted(set(times))


def test_planned_changes_are_shown_when_they_are_due(tenant: Tenant) -> None:
    draft(tenant, limits={"budget": {"firings": 5}})
    activate(tenant, at=NOON)
    pause(tenant, at=NOON + DAY)
    planned = selectors.rule_view(tenant.pk, "big-win").planned
    assert [line["status"] for line in planned] == ["active", "paused"]

    assert rule_changes.apply_planned(now=NOON - DAY) == 0
    assert rule().status == "draft"
    assert rule_changes.apply_planned(now=NOON) == 1
    assert (rule().status, rule().active_version) == ("active", 1)
    assert rule_changes.apply_planned(now=NOON + 2 * DAY) == 1
    assert rule().status == "paused"
    assert rule_changes.apply_planned(now=NOON + 2 * DAY) == 0


def test_a_change_at_once_gives_up_what_was_planned_for_later(tenant: Tenant) -> None:
    active(tenant)
    pause(tenant, at=NOON)

    pause(tenant)

    assert RuleChange.objects.filter(applied_at=None).count() == 0
    assert rule_changes.apply_planned(now=NOON + DAY) == 0


def test_the_index_knows_every_moment(tenant: Tenant) -> None:
    active(tenant)
    patch(tenant, priority=9)
    activate(tenant, version=2, now=NOON)
    pause(tenant, now=NOON + DAY)
    book = selectors.of(book_of(tenant.pk))
    versions = [
        [each.version for each in book.at(moment).rules]
        for moment in (BEFORE - DAY, BEFORE + HOUR, NOON - DAY, NOON + HOUR, NOON + 2 * DAY)
    ]

    assert versions == [[], [1], [1], [2], []]


# --- Uses in another zone ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_uses_are_counted_anew_in_a_new_zone(tenant: Tenant) -> None:
    active(tenant, limits={"per_player": {"day": 9}}, timezone="UTC")
    send(tenant, at=NOON.replace(hour=23))
    process(now=NOON + DAY)
    assert [use.bucket for use in RuleUse.objects.all()] == ["d:2026-03-05"]
    patch(tenant, timezone="Europe/Stockholm")

    activate(tenant, version=2, now=NOON + DAY)

    assert [(use.bucket, use.firings, use.amount) for use in RuleUse.objects.all()] == [
        ("d:2026-03-06", 1, 50)
    ]


def test_a_budget_has_its_row_from_the_first_version_that_asks_for_it(tenant: Tenant) -> None:
    active(tenant)
    assert not RuleBudget.objects.exists()
    patch(tenant, limits={"budget": {"firings": 5}})

    activate(tenant, version=2, now=NOON)

    assert RuleBudget.objects.get().firings == 0
