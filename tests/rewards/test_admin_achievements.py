"""The pages of achievements: criteria in fields, counting anew, giving and taking by hand."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.test import Client
from django.utils import timezone

from rewards.models import Achievement, AchievementProgress, AchievementUnlock, Job
from rewards.services import jobs
from tenants.models import Tenant
from tests.rewards.achievement_cast import WINS, badge, event, grants_of, make, play, state
from tests.rewards.ledger_cast import make_currency
from tests.staff import allow_everything, messages_of, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/rewards/achievement/"
PROGRESS = "/admin/rewards/achievementprogress/"


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


def form(tenant: Tenant, **changed: Any) -> dict[str, Any]:
    values = {
        "tenant": tenant.pk,
        "name": "Winner",
        "description": "",
        "badge_url": "",
        "type": "count",
        "event_types": "game.won, game.drawn",
        "conditions": '{"attrs.ranked": {"eq": true}}',
        "field": "",
        "metric": "",
        "streak_id": "",
        "leaderboard_id": "",
        "rank": "",
        "threshold": "3",
        "reward_config": "",
        "is_active": "on",
        "sort": "0",
        "apply": "",
        "reason": "",
        "expected_version": "",
    }
    return {**values, **changed}


def page_of(achievement: Achievement) -> str:
    return f"{LIST}{achievement.pk}/change/"


def errors_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200
    found: dict[str, Any] = answer.context["adminform"].form.errors
    return found


def test_an_achievement_is_made_by_its_form(client: Client, tenant_a: Tenant) -> None:
    item = badge(tenant_a, "Golden medal")

    answer = client.post(f"{LIST}add/", form(tenant_a, reward_items=[str(item.pk)]))

    assert answer.status_code == 302, errors_of(answer)
    made = Achievement.objects.get()
    assert made.measure == {
        "type": "count",
        "event_types": ["game.won", "game.drawn"],
        "conditions": {"attrs.ranked": {"eq": True}},
        "threshold": 3,
    }
    content = client.get(LIST).content.decode()
    assert "3 times game.won or game.drawn, under conditions" in content
    assert "Golden medal" in content


def test_only_what_the_kind_reads_is_taken_from_the_form(client: Client, tenant_a: Tenant) -> None:
    make_currency(tenant_a, "xp")

    client.post(f"{LIST}add/", form(tenant_a, type="cumulative", metric="xp", threshold="2.5"))

    made = Achievement.objects.get()
    assert made.criteria == {"type": "cumulative", "metric": "xp", "threshold": 2.5}


def test_a_fault_stands_at_its_field(client: Client, tenant_a: Tenant) -> None:
    wrong = form(tenant_a, event_types="game won", conditions="{", threshold="0")
    first = errors_of(client.post(f"{LIST}add/", wrong))
    second = errors_of(client.post(f"{LIST}add/", {**wrong, "conditions": ""}))

    assert set(first) == {"conditions"}
    assert set(second) == {"event_types", "threshold"}
    assert not Achievement.objects.exists()


def test_a_change_keeps_criteria_that_mean_the_same_as_they_were_sent(
    client: Client, tenant_a: Tenant
) -> None:
    sent = {"type": "event_count", "event_type": "game.won", "threshold": 3}
    achievement = make(tenant_a, criteria=sent)
    same = form(tenant_a, event_types="game.won", conditions="", name="Victor", expected_version=1)

    answer = client.post(page_of(achievement), same)

    assert answer.status_code == 302, errors_of(answer)
    achievement.refresh_from_db()
    assert (achievement.name, achievement.criteria, achievement.version) == ("Victor", sent, 2)


def test_changed_criteria_need_a_word_on_the_past(client: Client, tenant_a: Tenant) -> None:
    achievement = make(tenant_a)
    higher = form(tenant_a, event_types="game.won", conditions="", threshold="5")

    silent = client.post(page_of(achievement), higher)
    client.post(page_of(achievement), {**higher, "apply": "from_now", "reason": "too easy"})

    assert set(errors_of(silent)) == {"apply"}
    achievement.refresh_from_db()
    assert achievement.threshold == 5
    content = client.get(page_of(achievement)).content.decode()
    assert "too easy" in content


def test_an_outdated_form_is_refused(client: Client, tenant_a: Tenant) -> None:
    achievement = make(tenant_a)
    values = form(tenant_a, event_types="game.won", conditions="", expected_version=1)
    client.post(page_of(achievement), {**values, "name": "Second"})

    answer = client.post(page_of(achievement), {**values, "name": "Late"}, follow=True)

    achievement.refresh_from_db()
    assert achievement.name == "Second"
    assert any("version" in text for text in messages_of(answer))


def test_a_recount_is_previewed_and_then_applied(client: Client, tenant_a: Tenant) -> None:
    achievement = make(tenant_a)
    preview, apply = (f"{LIST}{achievement.pk}/{name}_recompute/" for name in ("preview", "apply"))

    too_early = client.get(apply, follow=True)
    asked = client.get(preview)
    started = client.post(preview, {"confirmed": "1", "since": "2026-03-01 00:00"})
    job = Job.objects.get()
    finish(job, gain=1)
    shown = client.get(apply).content.decode()
    applied = client.post(apply, {"confirmed": "1", "result_hash": "ab" * 32, "revoke": "on"})

    assert any("preview" in text for text in messages_of(too_early))
    assert "Nothing is changed" in asked.content.decode()
    assert str(job.pk) in started["Location"]
    assert job.parameters["from"] == "2026-03-01T00:00:00Z"
    assert "user-7" in shown
    last = Job.objects.exclude(pk=job.pk).get()
    assert str(last.pk) in applied["Location"]
    assert (last.parameters["mode"], last.parameters["revoke"]) == ("apply", True)


def finish(job: Job, **result: Any) -> None:
    """Let the preview have ended; what jobs find is tested beside their service."""
    line = {"user_id": "user-7", "change": "gain", "unlocks": 1, "progress": 5}
    found = {"gain": 0, "lose": 0, "unlocks": 1, "cost": 2.5, "sample": [line], **result}
    Job.objects.filter(pk=job.pk).update(
        status=Job.Status.DONE,
        result=jobs.as_json({**found, "result_hash": "ab" * 32}),
        finished_at=timezone.now() + timedelta(seconds=1),
    )


def test_staff_give_one_by_hand_with_a_reason(client: Client, tenant_a: Tenant) -> None:
    achievement = make(tenant_a, reward_item_ids=[str(badge(tenant_a).pk)])
    grant = f"{LIST}{achievement.pk}/grant_by_hand/"
    agreed = {"confirmed": "1", "user_id": "ana", "reason": "case 4711"}

    without_reason = client.post(grant, {"confirmed": "1", "user_id": "ana"})
    client.post(grant, agreed)
    again = client.post(grant, agreed, follow=True)

    assert without_reason.status_code == 200
    assert state(achievement)[0] == "unlocked"
    assert AchievementUnlock.objects.get().reason == "case 4711"
    assert any("already" in text for text in messages_of(again))
    assert len(grants_of(achievement)) == 1


def test_the_progress_of_a_player_is_found_and_revoked(client: Client, tenant_a: Tenant) -> None:
    achievement = make(tenant_a, reward_item_ids=[str(badge(tenant_a).pk)])
    play(tenant_a, event(), event(), event(), event("ben"))
    progress = AchievementProgress.objects.get(player__external_id="ana")

    listed = client.get(PROGRESS, {"q": "ana"}).content.decode()
    card = client.get(f"{PROGRESS}{progress.pk}/change/").content.decode()
    client.post(f"{PROGRESS}{progress.pk}/revoke/", {"confirmed": "1", "reason": "cheated"})

    assert "3 of 3 (100 %)" in listed
    assert "1 of 3" not in listed
    assert "By playing" in card
    assert state(achievement) == ("locked", 0, 0)
    assert [grant.status for grant in grants_of(achievement)] == ["revoked"]
    after = client.get(f"{PROGRESS}{progress.pk}/change/").content.decode()
    assert "cheated" in after or "Revoked" in after


def test_a_copy_is_not_active_and_archiving_keeps_what_was_unlocked(
    client: Client, tenant_a: Tenant
) -> None:
    achievement = make(tenant_a)
    play(tenant_a, event(), event(), event())

    client.post(f"{LIST}{achievement.pk}/duplicate/")
    client.post(LIST, {"action": "archive_selected", "_selected_action": [str(achievement.pk)]})

    copied = Achievement.objects.exclude(pk=achievement.pk).get()
    assert (copied.name, copied.is_active) == ("Winner (copy)", False)
    achievement.refresh_from_db()
    assert not achievement.is_active
    assert AchievementProgress.objects.get().times == 1


def test_lists_cost_the_same_for_one_row_and_for_many(
    client: Client, tenant_a: Tenant, statements: list[str]
) -> None:
    item = badge(tenant_a)
    counts: dict[str, list[int]] = {LIST: [], PROGRESS: []}
    for size in (1, 12):
        for number in range(size):
            name = f"A{size}-{number}"
            make(tenant_a, name, criteria=WINS | {"threshold": 1}, reward_item_ids=[str(item.pk)])
        play(tenant_a, *(event(f"p{number}") for number in range(size)))
        for place in counts:
            client.get(place)
            statements.clear()
            assert client.get(place).status_code == 200
            counts[place].append(len(statements))

    assert all(few == many for few, many in counts.values()), counts
