"""Counting anew: told before, applied once, exact while the consumer goes on."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from phoenix_site.common.exceptions import NotFoundError
from players.services import bans
from rewards.exceptions import DocumentError, StateConflictError
from rewards.models import Achievement, Currency, Grant, Job, PlayerStreak
from rewards.services import achievement_recompute, achievement_staff, achievements, jobs
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.rewards.achievement_cast import (
    WINS,
    add_progress,
    badge,
    grants_of,
    make,
    player_of,
    see_streak,
    shown,
    state,
    streak_of,
    unlocks_of,
)
from tests.rewards.coupon_cast import at_once
from tests.rewards.ledger_cast import credit, make_currency
from tests.rewards.rule_log import NOON, balance, process, send

pytestmark = pytest.mark.django_db(transaction=True)


def wins(tenant: Tenant, **counts: int) -> None:
    for user_id, count in counts.items():
        for _ in range(count):
            send(tenant, user_id, type="game.won")
    process()


def change(achievement: Achievement, *, apply: str | None = "recompute", **changes: Any) -> None:
    patch = {**changes, "apply": apply}
    achievements.patch_achievement(
        str(achievement.tenant_id), achievement.pk, patch, actor=SYSTEM, now=NOON
    )


def ask(achievement: Achievement, **document: Any) -> Job:
    return achievement_recompute.request_recompute(
        str(achievement.tenant_id), achievement.pk, document, actor=SYSTEM, now=NOON
    )


def run(job: Job) -> Job:
    jobs.run_job(job.pk, clock=lambda: NOON + timedelta(minutes=5))
    return Job.objects.get(pk=job.pk)


def preview(achievement: Achievement, **document: Any) -> dict[str, Any]:
    job = run(ask(achievement, mode="preview", **document))
    assert job.status == "done", job.error
    result: dict[str, Any] = job.result
    return result


def apply(achievement: Achievement, result: dict[str, Any], *, revoke: bool = False) -> Job:
    return run(ask(achievement, mode="apply", result_hash=result["result_hash"], revoke=revoke))


def names(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(line["user_id"], line["change"]) for line in result["sample"]]


@pytest.fixture
def winner(tenant_a: Tenant) -> Achievement:
    item = badge(tenant_a, unit_cost=Decimal("2.5"))
    return make(tenant_a, criteria=WINS | {"threshold": 10}, reward_item_ids=[str(item.pk)])


def test_acceptance_24_a_lower_threshold_names_and_rewards_exactly_who_gains(
    tenant_a: Tenant, winner: Achievement
) -> None:
    wins(tenant_a, four=4, five=5, nine=9, ten=10)
    change(winner, criteria={"threshold": 5})

    told = preview(winner)
    nothing_yet = Grant.objects.count()
    first = apply(winner, told)
    second = apply(winner, told)

    assert names(told) == [("five", "gain"), ("nine", "gain")]
    assert (told["gain"], told["lose"], told["cost"]) == (2, 0, 5)
    assert nothing_yet == 1
    assert (first.status, first.result["given"]) == ("done", 2)
    assert second.pk == first.pk
    assert [len(grants_of(winner, name)) for name in ("four", "five", "nine", "ten")] == [
        *(0, 1, 1, 1),
    ]
    assert state(winner, "nine") == ("unlocked", 5, 1)
    assert state(winner, "four") == ("in_progress", 4, 0)


def test_acceptance_24_another_preview_finds_nothing_and_its_application_gives_nothing(
    tenant_a: Tenant, winner: Achievement
) -> None:
    wins(tenant_a, five=5)
    change(winner, criteria={"threshold": 5})
    apply(winner, preview(winner))

    again = preview(winner)
    apply(winner, again)

    assert (again["gain"], again["sample"]) == (0, [])
    assert len(grants_of(winner, "five")) == 1


def test_a_result_that_no_longer_holds_is_refused(tenant_a: Tenant, winner: Achievement) -> None:
    wins(tenant_a, five=5, three=3)
    change(winner, criteria={"threshold": 5})
    told = preview(winner)
    wins(tenant_a, five=1)

    job = apply(winner, told)

    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "STATE_CONFLICT")
    assert len(grants_of(winner, "five")) == 1
    assert preview(winner)["gain"] == 0


def test_only_what_a_preview_of_the_present_version_found_can_be_applied(
    tenant_a: Tenant, winner: Achievement
) -> None:
    wins(tenant_a, five=5)
    with pytest.raises(StateConflictError):
        ask(winner, mode="apply", result_hash="f" * 64)
    told = preview(winner)
    change(winner, criteria={"threshold": 5})

    with pytest.raises(StateConflictError):
        ask(winner, mode="apply", result_hash=told["result_hash"])


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"mode": "apply"}, "result_hash"),
        ({"mode": "later"}, "mode"),
        ({"mode": "preview", "revoke": True}, "mode"),
        ({"mode": "apply", "result_hash": "x", "from": "2026-01-01T00:00:00Z"}, "from"),
        ({"mode": "apply", "result_hash": "x", "revoke": "yes"}, "revoke"),
        ({"mode": "preview", "from": "yesterday"}, "from"),
        ({"mode": "preview", "since": 1}, "since"),
    ],
)
def test_a_request_with_faults_is_refused(
    winner: Achievement, document: dict[str, Any], field: str
) -> None:
    with pytest.raises(DocumentError) as refused:
        ask(winner, **document)

    assert [fault.path for fault in refused.value.faults] == [field]


def test_losers_keep_what_they_have_unless_it_is_to_be_revoked(tenant_a: Tenant) -> None:
    Currency.objects.create(tenant=tenant_a, currency_id="gold", name="Gold")
    gift = badge(
        tenant_a, "Gold", reward_type="currency", payload={"currency_id": "gold", "amount": 50}
    )
    winner = make(tenant_a, reward_item_ids=[str(gift.pk)])
    wins(tenant_a, three=3, eight=8)
    change(winner, criteria={"threshold": 5})

    told = preview(winner)
    kept = apply(winner, told)
    after_keeping = state(winner, "three"), balance(tenant_a, "three")
    revoked = apply(winner, told, revoke=True)

    assert names(told) == [("three", "lose")]
    assert (kept.result["revoked"], revoked.result["revoked"]) == (0, 1)
    assert after_keeping[0][0] == "unlocked"
    assert after_keeping[1] == 50
    assert state(winner, "three") == ("in_progress", 3, 0)
    assert balance(tenant_a, "three") == 0
    assert [grant.status for grant in grants_of(winner, "three")] == ["revoked"]
    assert state(winner, "eight")[0] == "unlocked"


def test_what_a_recompute_took_can_be_reached_again(tenant_a: Tenant) -> None:
    winner = make(tenant_a, reward_item_ids=[str(badge(tenant_a).pk)])
    wins(tenant_a, three=3)
    change(winner, criteria={"threshold": 5})
    apply(winner, preview(winner), revoke=True)

    wins(tenant_a, three=2)

    assert state(winner, "three") == ("unlocked", 5, 1)
    assert [unlock.number for unlock in unlocks_of(winner, "three")] == [1, 2]
    assert [grant.status for grant in grants_of(winner, "three")] == ["revoked", "granted"]


def test_other_criteria_are_counted_from_the_beginning_of_the_log(tenant_a: Tenant) -> None:
    winner = make(tenant_a)
    for game in ("go", "chess", "go"):
        send(tenant_a, type="game.lost", game=game)
    wins(tenant_a, ana=2)
    criteria = {"type": "distinct", "event_types": ["game.*"], "field": "attrs.game"}
    change(winner, criteria=criteria | {"threshold": 3})
    before = state(winner)

    apply(winner, preview(winner))
    counted = state(winner)
    send(tenant_a, type="game.lost", game="go")
    send(tenant_a, type="game.lost", game="poker")
    process()

    assert before == ("locked", 0, 0)
    assert counted == ("in_progress", 2, 0)
    assert state(winner) == ("unlocked", 3, 1)


def test_from_now_keeps_progress_where_only_the_threshold_changes(
    tenant_a: Tenant, winner: Achievement
) -> None:
    wins(tenant_a, ana=7)
    change(winner, apply="from_now", criteria={"threshold": 5})
    waiting = state(winner)
    wins(tenant_a, ana=1)

    assert waiting == ("in_progress", 7, 0)
    assert state(winner)[0] == "unlocked"


def test_from_now_begins_anew_where_something_else_is_counted(
    tenant_a: Tenant, winner: Achievement
) -> None:
    wins(tenant_a, ana=7)
    change(winner, apply="from_now", criteria={"event_types": ["game.won", "game.drawn"]})
    send(tenant_a, type="game.won", received_at=NOON)  # before the change
    send(tenant_a, type="game.drawn")
    process()

    assert state(winner) == ("in_progress", 1, 0)


def test_a_repeatable_one_gives_what_is_missing_and_keeps_the_rest(tenant_a: Tenant) -> None:
    winner = make(
        tenant_a,
        repeatable=True,
        criteria=WINS | {"threshold": 5},
        reward_item_ids=[str(badge(tenant_a).pk)],
    )
    wins(tenant_a, ana=8)
    change(winner, criteria={"threshold": 3})

    told = preview(winner)
    apply(winner, told)
    wins(tenant_a, ana=1)

    assert (told["gain"], told["unlocks"]) == (1, 1)
    assert state(winner) == ("unlocked", 0, 3)
    assert [grant.ordinal for grant in grants_of(winner)] == [1, 2, 3]


def test_events_before_from_are_left_out(tenant_a: Tenant, winner: Achievement) -> None:
    send(tenant_a, type="game.won", at=NOON - timedelta(days=1))
    send(tenant_a, type="game.won")
    process()
    change(winner, criteria={"threshold": 2})

    assert preview(winner, **{"from": "2026-03-05T00:00:00Z"})["gain"] == 0
    assert preview(winner)["gain"] == 1


def test_players_who_are_blocked_or_miss_something_do_not_gain(tenant_a: Tenant) -> None:
    first = make(tenant_a, "First", criteria=WINS | {"event_types": ["login"], "threshold": 1})
    winner = make(tenant_a, requires=[str(first.pk)], criteria=WINS | {"threshold": 10})
    for user_id in ("ana", "bad"):
        send(tenant_a, user_id, type="login")
    wins(tenant_a, ana=4, bad=4, new=4)
    bans.ban(
        player_of(tenant_a, "bad"),
        scopes=["all"],
        reason="fraud",
        until=None,
        actor=SYSTEM,
        now=NOON,
    )
    change(winner, criteria={"threshold": 4})

    told = preview(winner)
    apply(winner, told)
    send(tenant_a, "new", type="login")
    process()

    assert names(told) == [("ana", "gain")]
    assert state(winner, "bad")[0] == "in_progress"
    assert state(winner, "new")[0] == "unlocked"


def test_whom_staff_took_it_from_does_not_gain(tenant_a: Tenant, winner: Achievement) -> None:
    wins(tenant_a, ana=10)
    achievement_staff.revoke_achievement(
        tenant_a.pk, winner.pk, user_id="ana", reason="cheated", actor=SYSTEM, now=NOON
    )
    change(winner, criteria={"threshold": 5})

    assert preview(winner)["gain"] == 0


def test_what_staff_gave_is_neither_given_again_nor_lost(
    tenant_a: Tenant, winner: Achievement
) -> None:
    for user_id in ("ana", "ben"):
        achievement_staff.grant_achievement(
            tenant_a.pk, winner.pk, user_id=user_id, reason="kind", actor=SYSTEM, now=NOON
        )
    wins(tenant_a, ana=6)
    change(winner, criteria={"threshold": 5})

    told = preview(winner)

    assert (told["gain"], told["lose"]) == (0, 0)


def test_what_rules_added_counts_beside_the_events(tenant_a: Tenant, winner: Achievement) -> None:
    wins(tenant_a, ana=3)
    add_progress(tenant_a, winner, "2")
    change(winner, criteria={"threshold": 5})

    assert preview(winner)["gain"] == 1


def test_cumulative_is_counted_from_the_wallets(tenant_a: Tenant) -> None:
    xp = make_currency(tenant_a, "xp")
    criteria = {"type": "cumulative", "metric": "xp", "threshold": 500}
    rich = make(tenant_a, criteria=criteria, reward_item_ids=[str(badge(tenant_a).pk)])
    credit(player_of(tenant_a), xp, 300)
    credit(player_of(tenant_a, "ben"), xp, 50)
    change(rich, criteria={"threshold": 100})

    told = preview(rich)
    apply(rich, told)
    credit(player_of(tenant_a), xp, 300)

    assert names(told) == [("ana", "gain")]
    assert len(grants_of(rich)) == 1
    assert shown(rich).times == 1


def test_a_job_that_died_gives_the_rest_when_it_is_taken_up_again(
    tenant_a: Tenant, winner: Achievement, monkeypatch: pytest.MonkeyPatch
) -> None:
    wins(tenant_a, one=5, two=5, three=5)
    change(winner, criteria={"threshold": 5})
    told = preview(winner)
    monkeypatch.setattr(achievement_recompute, "_STEP", 1)
    job = ask(winner, mode="apply", result_hash=told["result_hash"])
    give_step = achievement_recompute._give_step
    calls = []

    def die_in_the_second(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise SystemExit
        return give_step(*args)

    monkeypatch.setattr(achievement_recompute, "_give_step", die_in_the_second)
    with pytest.raises(SystemExit):
        run(job)
    assert Grant.objects.count() == 1
    Job.objects.filter(pk=job.pk).update(status="queued", leased_until=None)

    done = run(job)

    assert (done.status, done.result["given"], done.result["gain"]) == ("done", 3, 3)
    assert [len(grants_of(winner, name)) for name in ("one", "two", "three")] == [1, 1, 1]


def test_nobody_recomputes_what_is_archived_or_not_theirs(
    tenant_a: Tenant, tenant_b: Tenant, winner: Achievement
) -> None:
    with pytest.raises(NotFoundError):
        achievement_recompute.request_recompute(
            tenant_b.pk, winner.pk, {"mode": "preview"}, actor=SYSTEM, now=NOON
        )
    achievements.archive_achievement(tenant_a.pk, winner.pk, actor=SYSTEM, now=NOON)
    with pytest.raises(StateConflictError):
        ask(winner, mode="preview")


def test_a_streak_is_counted_by_the_longest_run_there_was(tenant_a: Tenant) -> None:
    streak = streak_of(tenant_a, "Daily")
    criteria = {"type": "streak_milestone", "streak_id": streak, "threshold": 30}
    loyal = make(tenant_a, criteria=criteria, reward_item_ids=[str(badge(tenant_a).pk)])
    for user_id, longest, present in (("ana", 9, 2), ("ben", 4, 4), ("new", 8, 8)):
        PlayerStreak.objects.create(
            streak_id=UUID(streak),
            player_id=player_of(tenant_a, user_id),
            longest_count=longest,
            current_count=present,
        )
    change(loyal, criteria={"threshold": 7})

    told = preview(loyal)
    apply(loyal, told)
    see_streak(tenant_a, streak, 3)

    assert names(told) == [("ana", "gain"), ("new", "gain")]
    assert [len(grants_of(loyal, user_id)) for user_id in ("ana", "ben", "new")] == [1, 0, 1]
    assert state(loyal, "ana") == ("unlocked", 7, 1)


def test_a_gift_and_the_last_win_at_once_unlock_once(tenant_a: Tenant) -> None:
    winner = make(tenant_a, reward_item_ids=[str(badge(tenant_a).pk)])
    wins(tenant_a, ana=2)
    send(tenant_a, "ana", type="game.won")

    def give() -> None:
        achievement_staff.grant_achievement(
            tenant_a.pk, winner.pk, user_id="ana", reason="kind", actor=SYSTEM, now=NOON
        )

    def win() -> None:
        process()

    at_once([give, give, win])

    assert state(winner)[::2] == ("unlocked", 1)
    assert len(grants_of(winner)) == 1
