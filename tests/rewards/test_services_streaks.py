"""Streaks of players: what the consumer counts, what the clock closes, what follows."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingestion.models import Event
from rewards.models import PlayerStreak, RewardConfig, StreakNotice, StreakWindow
from rewards.services.documents import bump
from tenants.models import Tenant
from tests.rewards import rule_log
from tests.rewards.streak_cast import (
    DAY,
    HOUR,
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
    milestones,
    move,
    player,
    read,
    reward,
    send,
    shown,
    windows,
)

pytestmark = pytest.mark.django_db

FREEZE = {"max_held": 2, "per_break": 1}


def emitted(kind: str) -> list[dict[str, Any]]:
    return list(Event.objects.filter(type=kind).order_by("id").values_list("attrs", flat=True))


# --- Clocks that jump ----------------------------------------------------------------------------


def test_acceptance_25_a_day_of_23_hours_is_one_window(tenant_a: Tenant) -> None:
    window = {"type": "calendar", "period": "daily", "timezone": NEW_YORK, "reset_time": "00:00"}
    streak = make(tenant_a, window=window)

    login(
        tenant_a,
        local("2026-03-07T23:30"),
        local("2026-03-08T12:00"),
        local("2026-03-09T00:30"),
    )

    now = local("2026-03-09T00:31")
    assert count(streak, now=now) == 3
    assert windows(streak) == [
        ("2026-03-07", "satisfied", 1),
        ("2026-03-08", "satisfied", 2),
        ("2026-03-09", "satisfied", 3),
    ]
    spring = StreakWindow.objects.get(key="2026-03-08")
    assert spring.ends_at - spring.starts_at == timedelta(hours=23)


def test_acceptance_25_all_events_in_one_batch_after_the_fact_count_the_same(
    tenant_a: Tenant,
) -> None:
    window = {"type": "calendar", "period": "daily", "timezone": NEW_YORK}
    streak = make(tenant_a, window=window, freeze=FREEZE)
    give_freezes(streak)
    now = local("2026-03-09T00:31")

    texts = ("2026-03-07T23:30", "2026-03-08T12:00", "2026-03-09T00:30")
    read(*(send(tenant_a, local(text), received_at=now) for text in texts), now=now)

    assert (count(streak, now=now), shown(streak, now=now).freezes_held) == (3, 1)
    assert emitted("streak.broken") == []


def test_acceptance_25_the_autumn_day_of_25_hours_counts_once(tenant_a: Tenant) -> None:
    window = {"type": "calendar", "period": "daily", "timezone": NEW_YORK}
    streak = make(tenant_a, window=window)

    login(
        tenant_a,
        local("2026-10-31T12:00"),
        local("2026-11-01T00:30"),
        local("2026-11-01T23:30"),
    )

    assert count(streak, now=local("2026-11-01T23:45")) == 2


# --- Missed windows, freezes, late events --------------------------------------------------------


def test_acceptance_26_a_skipped_day_without_a_freeze_makes_it_0(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0), day(1), day(2))

    # A reader sees it at once, also before the clock came by.
    assert count(streak, now=day(4, 0)) == 0
    clock(day(4, 0))

    assert count(streak, now=day(4, 1)) == 0
    assert shown(streak, now=day(4, 1)).longest_count == 3
    assert emitted("streak.broken") == [
        {"streak_id": str(streak.pk), "count": 3, "window_key": "2026-03-04"}
    ]
    clock(day(9))
    assert len(emitted("streak.broken")) == 1


def test_acceptance_26_a_freeze_keeps_the_run_and_a_late_event_heals_it(tenant_a: Tenant) -> None:
    item = reward(tenant_a)
    streak = make(tenant_a, freeze=FREEZE, milestones=[milestone(2, item)])
    give_freezes(streak)
    login(tenant_a, day(0), day(1))
    clock(day(3, 0))

    kept = shown(streak, now=day(3, 1))
    login(tenant_a, day(3))
    on_day_3 = count(streak, now=day(3))
    login(tenant_a, day(2, 20), received_at=day(3, 13))
    healed = shown(streak, now=day(3, 14))

    assert (kept.current_count, kept.freezes_held) == (2, 0)
    assert on_day_3 == 3
    assert (healed.current_count, healed.freezes_held) == (4, 0)
    assert freeze_moves() == [("staff", 1, 1), ("used", -1, 0)]
    assert milestones(streak) == [(2, 1)]
    assert grants(streak) == [("Sword", 2)]


def test_acceptance_26_no_milestone_twice_when_a_late_event_heals_a_broken_run(
    tenant_a: Tenant,
) -> None:
    items = reward(tenant_a, "Once"), reward(tenant_a, "Again")
    streak = make(
        tenant_a,
        milestones=[milestone(3, items[0]), milestone(2, items[1], repeatable=True)],
    )
    login(tenant_a, day(0), day(1), day(2))
    clock(day(4, 0))
    login(tenant_a, day(4), day(5, 1))
    before = grants(streak)

    login(tenant_a, day(3, 23), received_at=day(4, 23.5))

    assert before == [("Again", 2), ("Once", 3), ("Again", 2)]
    assert count(streak, now=day(5, 2)) == 6
    assert grants(streak) == before
    login(tenant_a, day(6), day(7))
    assert grants(streak) == before


def test_what_comes_later_than_late_seconds_after_its_window_is_not_counted(
    tenant_a: Tenant,
) -> None:
    streak = make(tenant_a, late_seconds=3600)

    login(tenant_a, day(0), received_at=day(1, 1))
    assert windows(streak) == []
    login(tenant_a, day(0), received_at=day(1, 0.99))

    assert windows(streak) == [("2026-03-01", "satisfied", 1)]


def test_a_freeze_is_used_when_the_next_event_shows_that_a_window_was_missed(
    tenant_a: Tenant,
) -> None:
    streak = make(tenant_a, freeze=FREEZE)
    give_freezes(streak, 2)

    login(tenant_a, day(0), day(2))

    assert windows(streak) == [
        ("2026-03-01", "satisfied", 1),
        ("2026-03-02", "frozen", 1),
        ("2026-03-03", "satisfied", 2),
    ]
    assert shown(streak, now=day(2)).freezes_held == 1


def test_a_reader_sees_a_freeze_used_before_the_clock_came_by(tenant_a: Tenant) -> None:
    streak = make(tenant_a, freeze=FREEZE)
    give_freezes(streak)
    login(tenant_a, day(0))

    seen = shown(streak, now=day(2, 1))

    assert (seen.current_count, seen.freezes_held) == (1, 0)
    assert freeze_moves() == [("staff", 1, 1)]


# --- Windows -------------------------------------------------------------------------------------


def test_a_player_sees_the_present_window(tenant_a: Tenant) -> None:
    streak = make(tenant_a, condition={"type": "sum", "field": "attrs.amount", "min": 10})
    login(tenant_a, day(0, 9), amount=4.5)

    seen = shown(streak, now=day(0, 10))

    assert (seen.window_progress, seen.window_target) == (Decimal("4.5"), Decimal(10))
    assert not seen.window_satisfied
    assert (seen.current_window_start, seen.current_window_end) == (day(0, 0), day(1, 0))
    assert seen.last_event_at == day(0, 9)
    login(tenant_a, day(0, 11), amount=5.5)
    assert shown(streak, now=day(0, 12)).window_satisfied


def test_values_count_once_in_a_window_across_batches(tenant_a: Tenant) -> None:
    streak = make(tenant_a, condition={"type": "distinct", "field": "attrs.game", "min": 2})

    login(tenant_a, day(0, 1), day(0, 2), game="a")
    assert count(streak, now=day(0, 3)) == 0
    login(tenant_a, day(0, 4), game="b")
    login(tenant_a, day(1, 1), game="b")

    assert [row.progress for row in StreakWindow.objects.order_by("starts_at")] == [2, 1]
    assert count(streak, now=day(1, 2)) == 1


def test_a_player_without_progress_gets_zeros(tenant_a: Tenant) -> None:
    streak = make(tenant_a)

    seen = shown(streak, now=day(0), user_id="nobody")

    assert (seen.id, seen.current_count, seen.longest_count) == (None, 0, 0)
    assert seen.current_window_start == day(0, 0)


def test_rolling_windows_follow_the_first_event_of_the_run(tenant_a: Tenant) -> None:
    streak = make(tenant_a, window={"type": "rolling", "hours": 24})
    assert shown(streak, now=day(0)).current_window_start is None

    login(tenant_a, day(0, 10), day(1, 9), day(1, 11), day(2, 20))

    seen = shown(streak, now=day(2, 20))
    assert (seen.current_count, seen.current_window_start) == (3, day(2, 10))
    clock(day(5))
    login(tenant_a, day(7, 3))
    assert shown(streak, now=day(7, 4)).current_window_start == day(7, 3)
    assert count(streak, now=day(7, 4)) == 1


def test_only_events_that_meet_the_expression_count(tenant_a: Tenant) -> None:
    streak = make(tenant_a, expression={"attrs.device": {"eq": "app"}})

    login(tenant_a, day(0), device="web")
    login(tenant_a, day(1), device="app")

    assert windows(streak) == [("2026-03-02", "satisfied", 1)]


# --- Zones of players ----------------------------------------------------------------------------


def test_the_day_is_that_of_the_players_zone(tenant_a: Tenant) -> None:
    streak = make(tenant_a, window={"type": "calendar", "period": "daily", "timezone": "player"})
    player(tenant_a, "ana", zone="Asia/Tokyo")
    player(tenant_a, "ben")

    for user_id in ("ana", "ben"):
        # 23:30 and 00:30 in Tokyo; one afternoon in UTC.
        login(tenant_a, day(0, 14.5), day(0, 15.5), user_id=user_id)

    assert count(streak, now=day(0, 16)) == 2
    assert count(streak, now=day(0, 16), user_id="ben") == 1
    assert set(StreakWindow.objects.values_list("timezone", flat=True)) == {"Asia/Tokyo", "UTC"}


def test_a_move_counts_from_the_next_window_and_breaks_nothing(tenant_a: Tenant) -> None:
    streak = make(tenant_a, window={"type": "calendar", "period": "daily", "timezone": "player"})
    ana = player(tenant_a, "ana", zone=NEW_YORK)
    login(tenant_a, local("2026-06-09T20:00"), local("2026-06-10T08:00"))
    move(ana, "Asia/Tokyo", at=local("2026-06-10T12:00"))

    # Still the window of the old zone.
    login(tenant_a, local("2026-06-10T23:00"))
    still = count(streak, now=local("2026-06-10T23:30"))
    # The last hour of the old zone's next day, then the new zone's.
    login(tenant_a, local("2026-06-11T23:00"), local("2026-06-13T10:00", "Asia/Tokyo"))

    assert still == 2
    assert [(key, count_) for key, _, count_ in windows(streak)] == [
        ("2026-06-09", 1),
        ("2026-06-10", 2),
        ("2026-06-12", 3),
        ("2026-06-13", 4),
    ]


def test_moving_around_gains_no_second_window_for_one_event(tenant_a: Tenant) -> None:
    streak = make(tenant_a, window={"type": "calendar", "period": "daily", "timezone": "player"})
    ana = player(tenant_a, "ana", zone="Pacific/Kiritimati")
    login(tenant_a, day(0, 9.5))

    for number, zone in enumerate(("Pacific/Niue", "Pacific/Kiritimati", "Pacific/Niue")):
        move(ana, zone, at=day(0, 10 + number / 10))
        login(tenant_a, day(0, 10.05 + number / 10))

    assert count(streak, now=day(0, 11)) <= 2
    assert StreakWindow.objects.filter(starts_at__gt=day(0, 10.5)).count() == 0


# --- Milestones and what follows -----------------------------------------------------------------


def test_a_milestone_gives_its_items_and_those_of_the_config(tenant_a: Tenant) -> None:
    own, tiered = reward(tenant_a, "Own"), reward(tenant_a, "Tiered")
    tiers = [
        {"name": "", "milestone": 2, "item_ids": [str(tiered.pk)], "by_category": {}},
        {"name": "", "milestone": 3, "item_ids": [str(tiered.pk)], "by_category": {}},
    ]
    rewards = RewardConfig.objects.create(
        tenant=tenant_a, name="Steps", config_type="streak", tiers=tiers
    )
    bump(tenant_a.pk)
    streak = make(tenant_a, milestones=[milestone(2, own)], reward_config_id=str(rewards.pk))

    login(tenant_a, day(0), day(1), day(2))

    assert grants(streak) == [("Own", 2), ("Tiered", 2), ("Tiered", 3)]
    assert emitted("streak.milestone") == [
        {"streak_id": str(streak.pk), "threshold": 2, "count": 2},
        {"streak_id": str(streak.pk), "threshold": 3, "count": 3},
    ]
    assert [each.threshold for each in shown(streak, now=day(2)).milestones] == [2, 3]
    assert all(each.reached_at for each in shown(streak, now=day(2)).milestones)


def test_a_repeatable_milestone_is_given_once_in_every_run(tenant_a: Tenant) -> None:
    once, again = reward(tenant_a, "Once"), reward(tenant_a, "Again")
    streak = make(tenant_a, milestones=[milestone(2, again, repeatable=True), milestone(3, once)])

    for start in (0, 10, 20):
        login(tenant_a, day(start), day(start + 1), day(start + 2))
        clock(day(start + 5))

    assert grants(streak) == [("Again", 2), ("Once", 3), ("Again", 2), ("Again", 2)]


@pytest.mark.django_db(transaction=True)
def test_the_consumer_counts_each_event_once(tenant_a: Tenant) -> None:
    streak = make(tenant_a, milestones=[milestone(1, reward(tenant_a))])
    send(tenant_a, day(0))

    processed = rule_log.process(now=day(0, 13))
    again = rule_log.process(now=day(0, 14))

    assert (processed > 0, again) == (True, 0)
    assert windows(streak) == [("2026-03-01", "satisfied", 1)]
    assert grants(streak) == [("Sword", 1)]


def test_a_rule_may_add_to_the_window(tenant_a: Tenant) -> None:
    streak = make(tenant_a, event_types=["never.sent"], condition={"type": "count", "min": 5})
    effect = {
        "type": "progress",
        "goal": f"streak:{streak.pk}",
        "amount": {"type": "fixed", "amount": 3},
    }
    rule_log.active(tenant_a, effects=[effect])

    wins = [rule_log.send(tenant_a, at=day(10, hour)) for hour in (12, 13)]
    read(*wins, now=day(10, 14))

    assert shown(streak, now=day(10, 14)).window_progress == 6
    assert count(streak, now=day(10, 14)) == 1


def test_banned_and_opted_out_players_count_nothing(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    player(tenant_a, "ana", status="closed")
    player(tenant_a, "ben", is_opted_out=True, opt_reasons=["quiet"], opt_changed_at=day(0, 0))

    login(tenant_a, day(0))
    login(tenant_a, day(0), user_id="ben")

    assert PlayerStreak.objects.filter(streak=streak).count() == 0


def test_an_achievement_may_stand_on_a_streak(tenant_a: Tenant) -> None:
    from tests.rewards import achievement_cast

    streak = make(tenant_a)
    loyal = achievement_cast.make(
        tenant_a,
        criteria={"type": "streak_milestone", "streak_id": str(streak.pk), "threshold": 2},
    )

    login(tenant_a, day(0))
    first = achievement_cast.state(loyal)
    login(tenant_a, day(1))

    assert first[0] == "in_progress"
    assert achievement_cast.state(loyal)[0] == "unlocked"


# --- At risk -------------------------------------------------------------------------------------


def test_a_run_is_at_risk_near_the_end_of_its_window_and_told_once(tenant_a: Tenant) -> None:
    streak = make(tenant_a, at_risk_seconds=7200)
    login(tenant_a, day(0))

    assert not shown(streak, now=day(0, 23)).at_risk
    assert not shown(streak, now=day(1, 21.9)).at_risk
    assert shown(streak, now=day(1, 22)).at_risk
    clock(day(1, 21))
    assert StreakNotice.objects.count() == 0
    for hour in (22, 22.5, 23):
        clock(day(1, hour))

    notice = StreakNotice.objects.get()
    assert (notice.window_starts_at, notice.count) == (day(1, 0), 1)
    login(tenant_a, day(1, 23.5))
    assert not shown(streak, now=day(1, 23.6)).at_risk
    clock(day(2, 23))
    assert StreakNotice.objects.count() == 2


def test_nothing_is_at_risk_without_a_run(tenant_a: Tenant) -> None:
    streak = make(tenant_a, at_risk_seconds=86400)

    assert not shown(streak, now=day(0)).at_risk
    assert clock(day(1)) == 0


# --- Pauses and changes --------------------------------------------------------------------------


def test_a_pause_counts_nothing_and_breaks_nothing(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0), day(1))
    change(streak, now=day(2, 6), status="paused")

    login(tenant_a, day(3))
    clock(day(20))
    paused = shown(streak, now=day(20))
    change(streak, now=day(20, 1), status="active")
    clock(day(20, 2))
    # Happened in the pause, came after it.
    login(tenant_a, day(19, 23), received_at=day(20, 3))
    login(tenant_a, day(21))

    assert (paused.current_count, paused.at_risk) == (2, False)
    assert count(streak, now=day(21)) == 3
    assert [key for key, _, _ in windows(streak)] == ["2026-03-01", "2026-03-02", "2026-03-22"]
    clock(day(23, 1))
    assert count(streak, now=day(23, 1)) == 0


def test_an_event_received_before_a_pause_counts_however_late_it_is_read(
    tenant_a: Tenant,
) -> None:
    streak = make(tenant_a)
    change(streak, now=day(0, 13), status="paused")

    read(send(tenant_a, day(0)), send(tenant_a, day(0, 14)), now=day(0, 15))

    assert windows(streak) == [("2026-03-01", "satisfied", 1)]
    assert StreakWindow.objects.get().progress == 1


def test_a_changed_target_judges_events_received_from_then_on(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    change(streak, now=day(0, 13), config={"condition": {"type": "count", "min": 2}})

    read(send(tenant_a, day(0)), send(tenant_a, day(1)), now=day(1, 15))

    assert [state for _, state, _ in windows(streak)] == ["satisfied", "open"]


def test_a_changed_period_counts_from_the_next_window_and_keeps_the_run(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0), day(1, 10))
    weekly = {"type": "calendar", "period": "weekly", "timezone": "UTC"}
    change(streak, now=day(1, 12), config={"window": weekly})

    # Monday 2 March was day 1: the week goes on to Sunday.
    login(tenant_a, day(1, 13), day(5), day(10))

    assert windows(streak) == [
        ("2026-03-01", "satisfied", 1),
        ("2026-03-02", "satisfied", 2),
        ("2026-W10", "satisfied", 3),
        ("2026-W11", "satisfied", 4),
    ]


def test_archived_streaks_stand_still(tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(0))
    change(streak, now=day(0, 13), status="archived")

    login(tenant_a, day(1))
    clock(day(9))

    assert windows(streak) == [("2026-03-01", "satisfied", 1)]
    assert emitted("streak.broken") == []


# --- Sets ----------------------------------------------------------------------------------------


def test_a_batch_takes_the_same_statements_for_2_and_for_40_players(tenant_a: Tenant) -> None:
    item = reward(tenant_a)
    make(tenant_a, milestones=[milestone(2, item)], freeze=FREEZE)
    make(tenant_a, "Hourly", window={"type": "calendar", "period": "hourly"})
    taken = []
    for number, players in ((0, 1), (10, 2), (20, 40)):
        names = [f"player-{number}-{index}" for index in range(players)]
        read(*(send(tenant_a, day(number), user_id=name) for name in names), now=day(number))
        later = [(day(number + 2), name) for name in names]
        later += [(day(number + 3), name) for name in names]
        events = [send(tenant_a, at, user_id=name) for at, name in later]
        with CaptureQueriesContext(connection) as captured:
            read(*events, now=day(number + 3))
        taken.append(len(captured))

    assert taken[1] == taken[2]


def test_the_sweep_takes_the_same_statements_for_2_and_for_40_players(tenant_a: Tenant) -> None:
    make(tenant_a, freeze=FREEZE)
    taken = []
    for number, players in ((0, 2), (10, 40)):
        for index in range(players):
            login(tenant_a, day(number), user_id=f"player-{number}-{index}")
        with CaptureQueriesContext(connection) as captured:
            clock(day(number + 3))
        taken.append(len(captured))

    assert taken[0] == taken[1]
    assert PlayerStreak.objects.filter(current_count__gt=0).count() == 0


def test_one_player_who_cannot_be_closed_does_not_hold_up_the_others(
    tenant_a: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rewards.services.streaks import StreakDesk

    make(tenant_a)
    login(tenant_a, day(0))
    login(tenant_a, day(0), user_id="ben")
    ana = PlayerStreak.objects.get(player__external_id="ana").player_id
    close = StreakDesk.close

    def fail_for_ana(desk: StreakDesk, player_id: Any, *rest: Any) -> None:
        if player_id == ana:
            raise RuntimeError("broken")
        close(desk, player_id, *rest)

    monkeypatch.setattr(StreakDesk, "close", fail_for_ana)
    clock(day(2))

    counts = dict(PlayerStreak.objects.values_list("player__external_id", "current_count"))
    assert counts == {"ana": 1, "ben": 0}
    assert PlayerStreak.objects.get(player=ana).due_at == day(2) + HOUR


def test_a_window_that_ended_long_ago_is_closed_in_one_look(tenant_a: Tenant) -> None:
    make(tenant_a, window={"type": "calendar", "period": "hourly"})
    login(tenant_a, day(0))

    assert clock(day(0) + 300 * DAY) == 1
