"""What staff do to players' streaks: repairs, freezes, and freezes that rewards give."""

import pytest

from phoenix_site.common.exceptions import InvalidInputError, NotFoundError
from rewards.exceptions import StateConflictError
from rewards.models import RewardItem, StreakRepair
from rewards.services import grants as granting
from rewards.services.streak_repairs import reverse_repair
from tenants.models import AuditEntry, Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.streak_cast import (
    NEW_YORK,
    change,
    clock,
    count,
    day,
    freeze_moves,
    give_freezes,
    grants,
    local,
    login,
    make,
    milestone,
    repair,
    reward,
    shown,
    windows,
)

pytestmark = pytest.mark.django_db

FREEZE = {"max_held": 2, "per_break": 1}


def undo(row: StreakRepair, *, now: object) -> StreakRepair:
    tenant_id = row.player_streak.streak.tenant_id
    return reverse_repair(tenant_id, row.pk, reason="mistake", actor=SYSTEM, now=now)  # type: ignore[arg-type]


def test_a_repaired_window_joins_the_runs(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0), day(1), day(3), day(4))

    row = repair(streak, "2026-03-03", now=day(4, 13))

    assert count(streak, now=day(4, 13)) == 5
    assert [state for _, state, _ in windows(streak)] == ["satisfied"] * 5
    assert [window["key"] for window in row.windows] == ["2026-03-03"]
    entry = AuditEntry.objects.get(action="streak.repaired")
    assert (entry.reason, entry.after) == (
        "outage",
        {"user_id": "ana", "windows": ["2026-03-03"]},
    )


def test_several_windows_of_a_gap_are_repaired_at_once_in_any_order(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0), day(5))

    repair(streak, "2026-03-04", "2026-03-02", "2026-03-03", "2026-03-05", now=day(5, 13))

    assert count(streak, now=day(5, 13)) == 6


def test_a_player_without_any_event_may_be_repaired(tenant_a: Tenant) -> None:
    streak = make(tenant_a)

    repair(streak, "2026-03-01", "2026-03-02", now=day(2), user_id="new")

    assert count(streak, now=day(2), user_id="new") == 2


def test_a_repair_may_be_taken_back_once(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0), day(1), day(3))
    before = windows(streak)
    row = repair(streak, "2026-03-03", now=day(3, 13))

    undone = undo(row, now=day(3, 14))

    assert windows(streak) == before
    assert count(streak, now=day(3, 14)) == 1
    assert (undone.reversed_at, undone.reverse_reason) == (day(3, 14), "mistake")
    with pytest.raises(StateConflictError):
        undo(row, now=day(3, 15))
    with pytest.raises(NotFoundError):
        reverse_repair("tenant-b", row.pk, reason="theirs", actor=SYSTEM, now=day(3, 16))


def test_what_events_satisfied_meanwhile_stays_when_a_repair_is_taken_back(
    tenant_a: Tenant,
) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0), day(2))
    row = repair(streak, "2026-03-02", now=day(2, 13))
    login(tenant_a, day(1), received_at=day(2, 14))

    undo(row, now=day(2, 15))

    assert count(streak, now=day(2, 15)) == 3


def test_a_repair_of_a_frozen_window_taken_back_leaves_it_frozen(tenant_a: Tenant) -> None:
    streak = make(tenant_a, freeze=FREEZE)
    give_freezes(streak)
    login(tenant_a, day(0), day(2))
    row = repair(streak, "2026-03-02", now=day(2, 13))
    repaired = count(streak, now=day(2, 13))

    undo(row, now=day(2, 14))

    assert (repaired, count(streak, now=day(2, 14))) == (3, 2)
    assert windows(streak)[1] == ("2026-03-02", "frozen", 1)


def test_no_milestone_is_given_twice_by_repairs(tenant_a: Tenant) -> None:
    sword = reward(tenant_a)
    streak = make(tenant_a, milestones=[milestone(3, sword, repeatable=True)])
    login(tenant_a, day(0), day(2))
    row = repair(streak, "2026-03-02", now=day(2, 13))
    assert grants(streak) == [("Sword", 3)]

    undo(row, now=day(2, 14))
    repair(streak, "2026-03-02", now=day(2, 15))
    login(tenant_a, day(3))

    assert count(streak, now=day(3)) == 4
    assert grants(streak) == [("Sword", 3)]


def test_windows_that_count_already_are_left_alone(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0))

    nothing = repair(streak, "2026-03-01", now=day(0, 13))
    some = repair(streak, "2026-03-01", "2026-02-28", now=day(0, 14))

    assert nothing is None
    assert [window["key"] for window in some.windows] == ["2026-02-28"]
    assert StreakRepair.objects.count() == 1


@pytest.mark.parametrize("name", ["2026-03-09", "2026-W10", "2026-02-30", "yesterday", ""])
def test_windows_that_there_are_not_or_that_lie_ahead_are_refused(
    tenant_a: Tenant, name: str
) -> None:
    streak = make(tenant_a)

    with pytest.raises(InvalidInputError) as refused:
        repair(streak, "2026-03-01", name, now=day(4))

    assert [detail.field for detail in refused.value.details] == ["windows.1"]
    assert windows(streak) == []


@pytest.mark.parametrize(
    ("window", "names", "keys"),
    [
        (
            {"period": "hourly", "timezone": NEW_YORK},
            ["2026-03-08T01", "2026-03-08T03"],
            ["2026-03-08T01", "2026-03-08T03"],
        ),
        (
            {
                "period": "weekly",
                "timezone": NEW_YORK,
                "reset_day": "sunday",
                "reset_time": "02:30",
            },
            ["2026-W10"],
            ["2026-W10"],
        ),
        (
            {"period": "monthly", "timezone": "Asia/Tokyo", "reset_day": 15, "reset_time": "09:00"},
            ["2026-01", "2026-02"],
            ["2026-01", "2026-02"],
        ),
        ({"period": "daily", "timezone": "player"}, ["2026-03-08T23:59:00Z"], ["2026-03-08"]),
        # The clock jumps over the reset time.
        (
            {"period": "daily", "timezone": NEW_YORK, "reset_time": "02:30"},
            ["2026-03-08"],
            ["2026-03-08"],
        ),
    ],
)
def test_windows_of_every_period_are_named_by_their_keys(
    tenant_a: Tenant, window: dict[str, object], names: list[str], keys: list[str]
) -> None:
    streak = make(tenant_a, window={"type": "calendar", **window})

    repair(streak, *names, now=local("2026-03-20T12:00"))

    satisfied = [key for key, state, _ in windows(streak) if state == "satisfied"]
    assert satisfied == keys


def test_the_second_hour_of_the_autumn_night_has_a_name(tenant_a: Tenant) -> None:
    streak = make(tenant_a, window={"type": "calendar", "period": "hourly", "timezone": NEW_YORK})

    repair(streak, "2026-11-01T01~2", "2026-11-01T01", now=local("2026-11-01T02:30"))

    assert count(streak, now=local("2026-11-01T02:30")) == 2


def test_rolling_windows_are_named_by_a_time_in_them(tenant_a: Tenant) -> None:
    streak = make(tenant_a, window={"type": "rolling", "hours": 24})
    login(tenant_a, day(0, 10), day(2, 11))

    repair(streak, "2026-03-02T15:00:00Z", now=day(2, 12))

    assert count(streak, now=day(2, 12)) == 3


def test_an_archived_streak_is_not_repaired(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    archived = change(streak, now=day(1), status="archived")

    with pytest.raises(StateConflictError):
        repair(archived, "2026-03-01", now=day(4))


# --- Freezes -------------------------------------------------------------------------------------


def test_no_more_freezes_are_held_than_the_streak_allows(tenant_a: Tenant) -> None:
    streak = make(tenant_a, freeze=FREEZE)

    assert give_freezes(streak, 5) == 2
    assert give_freezes(streak, 1) == 0
    assert shown(streak, now=day(0)).freezes_held == 2
    assert freeze_moves() == [("staff", 2, 2)]
    assert AuditEntry.objects.filter(action="streak.freezes_given").count() == 2


def test_a_streak_without_freezes_takes_none(tenant_a: Tenant) -> None:
    with pytest.raises(InvalidInputError):
        give_freezes(make(tenant_a))


def freeze_item(tenant: Tenant, streak_id: object, number: int = 1) -> RewardItem:
    payload = {"streak_id": None if streak_id is None else str(streak_id), "count": number}
    return reward(tenant, "Freeze", reward_type="streak_freeze", payload=payload)


def give(item: RewardItem, user_id: str = "ana") -> object:
    return granting.give_item(
        item.tenant_id, user_id=user_id, item_id=item.pk, reason="gift", actor=SYSTEM, now=day(0)
    ).grant


def test_a_reward_item_gives_freezes_for_one_streak_or_for_any(tenant_a: Tenant) -> None:
    first, second = make(tenant_a, freeze=FREEZE), make(tenant_a, "Other", freeze=FREEZE)

    give(freeze_item(tenant_a, first.pk))
    give(freeze_item(tenant_a, None))

    held = [shown(each, now=day(0)).freezes_held for each in (first, second)]
    assert held == [2, 1]
    assert [kind for kind, _, _ in freeze_moves()] == ["reward", "reward"]


def test_a_freeze_for_any_streak_is_used_once(tenant_a: Tenant) -> None:
    first, second = make(tenant_a, freeze=FREEZE), make(tenant_a, "Other", freeze=FREEZE)
    give(freeze_item(tenant_a, None))
    login(tenant_a, day(0))

    clock(day(2))

    assert sorted(count(each, now=day(2)) for each in (first, second)) == [0, 1]
    assert [kind for kind, _, _ in freeze_moves()] == ["reward", "used"]


def test_a_revoked_grant_takes_unused_freezes_back(tenant_a: Tenant) -> None:
    streak = make(tenant_a, freeze=FREEZE)
    grant = give(freeze_item(tenant_a, streak.pk, 2))
    login(tenant_a, day(0))
    clock(day(2))

    granting.revoke_grant(
        tenant_a.pk,
        grant.pk,  # type: ignore[attr-defined]
        reason="mistake",
        actor=SYSTEM,
        now=day(2, 1),
    )

    assert freeze_moves() == [("reward", 2, 2), ("used", -1, 1), ("revoked", -1, 0)]


def test_a_milestone_may_give_a_freeze(tenant_a: Tenant) -> None:
    item = freeze_item(tenant_a, None)
    streak = make(tenant_a, freeze=FREEZE, milestones=[milestone(2, item)])

    login(tenant_a, day(0), day(1))

    assert shown(streak, now=day(1)).freezes_held == 1
    clock(day(3))
    assert count(streak, now=day(3)) == 2
