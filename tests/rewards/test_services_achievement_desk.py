from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ingestion.models import Event
from phoenix_site.common.exceptions import NotFoundError
from players.services import bans, profiles
from rewards.models import AchievementValue, RewardConfig
from rewards.selectors.player_achievements import player_achievements
from rewards.services import achievements
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.achievement_cast import (
    NOW,
    WINS,
    add_progress,
    badge,
    event,
    grants_of,
    make,
    play,
    player_of,
    see_streak,
    shown,
    state,
    streak_of,
    unlocks_of,
)
from tests.rewards.ledger_cast import balance_of, credit, make_currency

pytestmark = pytest.mark.django_db


def test_acceptance_22_three_wins_unlock_once_and_grant_once(tenant_a: Tenant) -> None:
    item = badge(tenant_a)
    winner = make(tenant_a, reward_item_ids=[str(item.pk)])

    play(tenant_a, event(), event())
    half_way = shown(winner)
    play(tenant_a, event())
    reached = shown(winner)
    play(tenant_a, event())

    assert (half_way.status, half_way.percentage) == ("in_progress", Decimal("66.67"))
    assert (reached.status, reached.times) == ("unlocked", 1)
    assert reached.percentage == 100
    assert shown(winner) == reached
    assert [grant.item_id for grant in grants_of(winner)] == [item.pk]
    assert [reward.item_id for reward in reached.rewards] == [item.pk]


def test_acceptance_22_a_repeatable_one_unlocks_again_at_six(tenant_a: Tenant) -> None:
    winner = make(tenant_a, repeatable=True, reward_item_ids=[str(badge(tenant_a).pk)])

    play(tenant_a, *(event() for _ in range(5)))
    at_five = state(winner)
    play(tenant_a, event())

    assert at_five == ("unlocked", 2, 1)
    assert state(winner) == ("unlocked", 0, 2)
    assert [grant.ordinal for grant in grants_of(winner)] == [1, 2]
    assert len({grant.group_id for grant in grants_of(winner)}) == 2
    assert [unlock.number for unlock in unlocks_of(winner)] == [1, 2]


def test_acceptance_23_a_hidden_one_is_seen_once_it_is_unlocked(tenant_a: Tenant) -> None:
    secret = make(tenant_a, hidden=True)
    play(tenant_a, event(), event())

    listed = player_achievements(tenant_a.pk, "ana", status=None, limit=50, offset=0)
    assert (listed.items, listed.total, listed.in_progress_count) == ([], 0, 0)
    with pytest.raises(NotFoundError):
        shown(secret)

    play(tenant_a, event())

    listed = player_achievements(tenant_a.pk, "ana", status=None, limit=50, offset=0)
    assert [(each.id, each.status) for each in listed.items] == [(secret.pk, "unlocked")]
    assert listed.unlocked_count == 1


def test_unlocking_is_told_to_the_log(tenant_a: Tenant) -> None:
    winner = make(tenant_a)
    last = event()._replace(depth=2)

    play(tenant_a, event(), event(), last)

    told = Event.objects.get(type="achievement.unlocked")
    assert told.attrs == {"achievement_id": str(winner.pk), "times": 1}
    assert (told.user_id, told.cause, told.depth) == ("ana", last.event_id, 3)
    assert unlocks_of(winner)[0].cause_event_id == last.event_id


def test_one_large_event_unlocks_a_sum_several_times_and_keeps_the_rest(tenant_a: Tenant) -> None:
    criteria = {"type": "sum", "event_types": ["bet"], "field": "attrs.bet", "threshold": 10}
    better = make(tenant_a, criteria=criteria, repeatable=True)

    play(tenant_a, event(type_="bet", bet=Decimal("34.5")), event(type_="bet", bet="much"))

    assert state(better) == ("unlocked", Decimal("4.5"), 3)


def test_a_sum_overshoots_and_shows_all_of_the_way(tenant_a: Tenant) -> None:
    criteria = {"type": "sum", "event_types": ["bet"], "field": "attrs.bet", "threshold": 10}
    better = make(tenant_a, criteria=criteria)

    play(tenant_a, event(type_="bet", bet=Decimal("9.9999")))
    near = shown(better)
    play(tenant_a, event(type_="bet", bet=7))

    assert (near.status, near.percentage) == ("in_progress", Decimal("99.99"))
    assert shown(better).percentage == 100
    assert state(better) == ("unlocked", 10, 1)


def test_distinct_values_count_once_also_across_batches(tenant_a: Tenant) -> None:
    criteria = {"type": "distinct", "event_types": ["game.*"], "field": "attrs.game"}
    explorer = make(tenant_a, criteria=criteria | {"threshold": 3})

    play(tenant_a, event(game="go"), event(game="go"), event(game="chess"))
    play(tenant_a, event(game="chess"), prepare=False)
    before = state(explorer)
    play(tenant_a, event(game="poker"))

    assert before == ("in_progress", 2, 0)
    assert state(explorer) == ("unlocked", 3, 1)


def test_a_repeatable_distinct_begins_with_an_empty_set(tenant_a: Tenant) -> None:
    criteria = {"type": "distinct", "event_types": ["game.*"], "field": "attrs.game"}
    explorer = make(tenant_a, criteria=criteria | {"threshold": 2}, repeatable=True)

    play(tenant_a, event(game="go"), event(game="chess"), event(game="go"))
    assert state(explorer) == ("unlocked", 1, 1)
    assert AchievementValue.objects.count() == 1

    play(tenant_a, event(game="go"), event(game="chess"))
    assert state(explorer) == ("unlocked", 0, 2)


def test_cumulative_follows_what_was_ever_earned(tenant_a: Tenant) -> None:
    xp = make_currency(tenant_a, "xp")
    rich = make(tenant_a, criteria={"type": "cumulative", "metric": "xp", "threshold": 100})
    ana = player_of(tenant_a)

    credit(ana, xp, 60)
    assert state(rich) == ("in_progress", 60, 0)
    credit(ana, xp, 60)

    assert state(rich) == ("unlocked", 120, 1)


def test_what_cumulative_gives_counts_for_the_next_one(tenant_a: Tenant) -> None:
    xp = make_currency(tenant_a, "xp")
    gift = badge(
        tenant_a, "50 XP", reward_type="currency", payload={"currency_id": "xp", "amount": 50}
    )
    criteria = {"type": "cumulative", "metric": "xp", "threshold": 100}
    first = make(tenant_a, criteria=criteria, reward_item_ids=[str(gift.pk)])
    second = make(tenant_a, criteria=criteria | {"threshold": 150})
    ana = player_of(tenant_a)

    credit(ana, xp, 100)

    assert (state(first)[0], state(second)[0]) == ("unlocked", "unlocked")
    assert balance_of(ana, xp) == 150


def test_a_repeatable_cumulative_uses_up_what_it_takes(tenant_a: Tenant) -> None:
    xp = make_currency(tenant_a, "xp")
    criteria = {"type": "cumulative", "metric": "xp", "threshold": 100}
    rich = make(tenant_a, criteria=criteria, repeatable=True)
    ana = player_of(tenant_a)

    credit(ana, xp, 250)
    assert state(rich) == ("unlocked", 50, 2)
    credit(ana, xp, 50)

    assert state(rich) == ("unlocked", 0, 3)


def test_a_streak_milestone_is_reached_by_the_count_of_its_streak(tenant_a: Tenant) -> None:
    streak, other = streak_of(tenant_a, "Daily"), streak_of(tenant_a, "Weekly")
    criteria = {"type": "streak_milestone", "streak_id": streak, "threshold": 3}
    loyal = make(tenant_a, criteria=criteria)

    see_streak(tenant_a, other, 9)
    see_streak(tenant_a, streak, 1, 2)
    before = state(loyal)
    see_streak(tenant_a, streak, 0, 1, 2, 3)

    assert before == ("in_progress", 2, 0)
    assert state(loyal) == ("unlocked", 3, 1)


def test_a_repeatable_streak_milestone_counts_runs_and_no_run_twice(tenant_a: Tenant) -> None:
    streak = streak_of(tenant_a, "Daily")
    criteria = {"type": "streak_milestone", "streak_id": streak, "threshold": 3}
    loyal = make(tenant_a, criteria=criteria, repeatable=True)

    see_streak(tenant_a, streak, 1, 2, 3, 4)
    assert state(loyal) == ("unlocked", 1, 1)
    # A missed window, and the late event that heals the run.
    see_streak(tenant_a, streak, 0, 1, 6)
    assert state(loyal) == ("unlocked", 0, 2)
    see_streak(tenant_a, streak, 0, 1, 2, 3)
    assert state(loyal)[2] == 3


def test_placements_on_a_board_count_windows(tenant_a: Tenant) -> None:
    criteria = {"type": "leaderboard_rank", "leaderboard_id": "daily", "rank": 3, "threshold": 2}
    podium = make(tenant_a, criteria=criteria, repeatable=True)

    def placed(key: str, rank: int) -> Any:
        return event(type_="leaderboard.placed", leaderboard_id="daily", window_key=key, rank=rank)

    play(tenant_a, placed("d1", 3), placed("d2", 4), placed("d1", 1))
    assert state(podium) == ("in_progress", 1, 0)
    play(tenant_a, placed("d3", 2))
    assert state(podium) == ("unlocked", 0, 1)
    # A corrected placement of a window that counted does not count again.
    play(tenant_a, placed("d3", 1), placed("d1", 1))
    assert state(podium) == ("unlocked", 0, 1)


def test_one_placement_is_enough_by_default(tenant_a: Tenant) -> None:
    criteria = {"type": "leaderboard_rank", "leaderboard_id": "daily", "rank": 1}
    champion = make(tenant_a, criteria=criteria)

    play(
        tenant_a,
        event(type_="leaderboard.placed", leaderboard_id="daily", window_key="d1", rank=1),
    )

    assert state(champion) == ("unlocked", 1, 1)


def test_progress_counts_while_what_is_required_is_missing(tenant_a: Tenant) -> None:
    first = make(tenant_a, "First", criteria=WINS | {"event_types": ["login"], "threshold": 1})
    second = make(tenant_a, "Second", requires=[str(first.pk)])
    third = make(tenant_a, "Third", requires=[str(second.pk)])

    play(tenant_a, *(event() for _ in range(4)))
    waiting = [shown(each) for each in (second, third)]
    play(tenant_a, event(type_="login"))

    assert [each.status for each in waiting] == ["in_progress", "in_progress"]
    assert all(each.percentage == Decimal("99.99") for each in waiting)
    assert [state(each)[0] for each in (first, second, third)] == ["unlocked"] * 3


def test_rules_add_progress_to_what_counts_and_to_nothing_else(tenant_a: Tenant) -> None:
    make_currency(tenant_a, "xp")
    winner = make(tenant_a)
    rich = make(tenant_a, criteria={"type": "cumulative", "metric": "xp", "threshold": 1})

    add_progress(tenant_a, winner, "2.5")
    add_progress(tenant_a, rich, "5")
    play(tenant_a, event())

    assert state(winner) == ("unlocked", 3, 1)
    assert state(rich) == ("locked", 0, 0)


@pytest.mark.parametrize("scope", ["all", "rewards"])
def test_banned_players_get_nothing(tenant_a: Tenant, scope: str) -> None:
    winner = make(tenant_a, criteria=WINS | {"threshold": 1})
    ana = player_of(tenant_a)
    bans.ban(ana, scopes=[scope], reason="fraud", until=None, actor=SYSTEM, now=NOW)

    play(tenant_a, event(), event("ben"), now=NOW + timedelta(seconds=1))

    assert state(winner) == ("locked", 0, 0)
    assert state(winner, "ben")[0] == "unlocked"


def test_players_who_opted_out_get_nothing(tenant_a: Tenant) -> None:
    make_currency(tenant_a, "xp")
    winner = make(tenant_a, criteria=WINS | {"threshold": 1})
    profiles.set_gamification(
        player_of(tenant_a), enabled=False, reasons=["tired"], actor=SYSTEM, now=NOW
    )

    play(tenant_a, event())
    add_progress(tenant_a, winner, "5")

    assert state(winner) == ("locked", 0, 0)


def test_a_chain_of_causes_that_is_too_deep_counts_no_more(tenant_a: Tenant) -> None:
    winner = make(tenant_a, criteria=WINS | {"threshold": 2})

    play(tenant_a, event()._replace(depth=9), event()._replace(depth=8))

    assert state(winner) == ("in_progress", 1, 0)


def test_only_events_received_while_it_is_there_count(tenant_a: Tenant) -> None:
    winner = make(tenant_a)
    assert winner.counts_from is not None
    early = event()._replace(received_at=winner.counts_from - timedelta(seconds=1))
    achievements.archive_achievement(tenant_a.pk, winner.pk, actor=SYSTEM, now=NOW)
    winner.refresh_from_db()
    assert winner.counts_until is not None
    late = event()._replace(received_at=winner.counts_until)

    play(tenant_a, early, event(), late)

    with pytest.raises(NotFoundError):
        shown(winner)
    achievements.patch_achievement(tenant_a.pk, winner.pk, {"active": True}, actor=SYSTEM, now=NOW)
    assert state(winner) == ("in_progress", 1, 0)


def test_tenants_do_not_share_achievements(tenant_a: Tenant, tenant_b: Tenant) -> None:
    winner = make(tenant_a, criteria=WINS | {"threshold": 1})

    play(tenant_b, event())

    assert state(winner) == ("locked", 0, 0)


def test_a_config_gives_the_items_of_its_threshold_beside_the_own_ones(tenant_a: Tenant) -> None:
    own, more, other = (badge(tenant_a, name) for name in ("Own", "More", "Other"))
    config = RewardConfig.objects.create(
        tenant=tenant_a,
        name="By threshold",
        config_type="achievement",
        tiers=[
            {"name": "", "threshold": 3, "item_ids": [str(own.pk), str(more.pk)]},
            {"name": "", "threshold": 9, "item_ids": [str(other.pk)]},
        ],
    )
    winner = make(tenant_a, reward_item_ids=[str(own.pk)], reward_config_id=str(config.pk))

    play(tenant_a, event(), event(), event())

    assert {grant.item_id for grant in grants_of(winner)} == {own.pk, more.pk}
    assert [grant.group_total for grant in grants_of(winner)] == [2, 2]


def test_a_batch_costs_the_same_for_one_player_and_for_many(
    tenant_a: Tenant, statements: list[str]
) -> None:
    make_currency(tenant_a, "xp")
    item = badge(tenant_a)
    make(tenant_a, criteria=WINS | {"threshold": 1}, reward_item_ids=[str(item.pk)])
    games = {"type": "distinct", "event_types": ["game.*"], "field": "attrs.game", "threshold": 2}
    make(tenant_a, criteria=games, repeatable=True)
    make(tenant_a, criteria={"type": "cumulative", "metric": "xp", "threshold": 5})

    costs = []
    for size in (1, 60):
        names = [f"p-{size}-{number}" for number in range(size)]
        for _round in range(2):
            statements.clear()
            play(tenant_a, *(event(name, game=game) for name in names for game in (1, 2, 3)))
        costs.append(list(statements))

    assert costs[0] == costs[1]


def test_a_first_unlock_of_many_costs_the_same(tenant_a: Tenant, statements: list[str]) -> None:
    item = badge(tenant_a)
    make(tenant_a, criteria=WINS | {"threshold": 1}, reward_item_ids=[str(item.pk)])
    play(tenant_a, event())  # loads the book

    costs = []
    for size in (1, 60):
        names = [f"p-{size}-{number}" for number in range(size)]
        for name in names:
            player_of(tenant_a, name)
        statements.clear()
        play(tenant_a, *(event(name) for name in names))
        costs.append(list(statements))

    assert costs[0] == costs[1]
