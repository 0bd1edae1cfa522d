"""The pages of streaks: form, status, windows to come, what a player has, repairs and freezes."""

from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import AbstractUser
from django.test import Client

from rewards.models import DocumentVersion, PlayerStreak, Streak, StreakRepair
from tenants.models import Tenant
from tests.rewards.streak_cast import (
    count,
    day,
    freeze_moves,
    give_freezes,
    login,
    make,
    milestone,
    repair,
    reward,
)
from tests.staff import allow, allow_everything, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/rewards/streak/"
PLAYERS = "/admin/rewards/playerstreak/"
NOW = day(10)


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow_everything(ops)
    return signed_in(ops)


def form(tenant: Tenant, **changed: Any) -> dict[str, Any]:
    values = {
        "tenant": tenant.pk,
        "name": "Daily login",
        "description": "",
        "event_types": "user.login, user.seen",
        "expression": "",
        "measure": "count",
        "field": "",
        "minimum": "1",
        "period": "daily",
        "timezone": "America/New_York",
        "reset_weekday": "monday",
        "reset_monthday": "1",
        "reset_time": "00:00",
        "hours": "24",
        "milestones-rows": "0",
        "reward_config": "",
        "max_held": "",
        "per_break": "1",
        "at_risk_seconds": "3600",
        "late_seconds": "86400",
        "reason": "",
        "expected_version": "",
    }
    return {**values, **changed}


def errors(answer: Any) -> dict[str, list[str]]:
    return {name: list(faults) for name, faults in answer.context["adminform"].form.errors.items()}


def row_of(streak: Streak, user_id: str = "ana") -> PlayerStreak:
    return PlayerStreak.objects.get(streak=streak, player__external_id=user_id)


# --- Streaks -------------------------------------------------------------------------------------


def test_a_streak_is_made_by_its_form(client: Client, tenant_a: Tenant) -> None:
    sword, shield = reward(tenant_a), reward(tenant_a, "Shield")
    rows = {
        "milestones-rows": "3",
        "milestones-0-threshold": "7",
        "milestones-0-items": [str(sword.pk), str(shield.pk)],
        "milestones-0-repeatable": "on",
        "milestones-2-threshold": "3",
    }

    assert client.get(f"{LIST}add/").status_code == 200
    answer = client.post(f"{LIST}add/", form(tenant_a, max_held="2", **rows))

    assert answer.status_code == 302, errors(answer)
    streak = Streak.objects.get()
    assert streak.config["event_types"] == ["user.login", "user.seen"]
    assert streak.config["window"]["timezone"] == "America/New_York"
    assert streak.config["freeze"] == {"max_held": 2, "per_break": 1}
    assert [each["threshold"] for each in streak.config["milestones"]] == [3, 7]
    assert streak.config["milestones"][1]["repeatable"] is True
    assert len(streak.config["milestones"][1]["reward_item_ids"]) == 2
    page = text_of(client.get(LIST))
    assert "1 user.login or user.seen every day (America/New_York)" in page
    assert DocumentVersion.objects.get().author == "ops"


@pytest.mark.parametrize(
    ("window", "stored"),
    [
        (
            {"period": "weekly", "reset_weekday": "sunday", "timezone": "player"},
            {
                "type": "calendar",
                "period": "weekly",
                "timezone": "player",
                "reset_day": "sunday",
                "reset_time": "00:00",
            },
        ),
        (
            {"period": "monthly", "reset_monthday": "15", "timezone": "UTC", "reset_time": "09:00"},
            {
                "type": "calendar",
                "period": "monthly",
                "timezone": "UTC",
                "reset_day": 15,
                "reset_time": "09:00",
            },
        ),
        ({"period": "rolling", "hours": "36"}, {"type": "rolling", "hours": 36}),
        (
            {"period": "hourly", "timezone": "UTC"},
            {"type": "calendar", "period": "hourly", "timezone": "UTC"},
        ),
    ],
)
def test_every_kind_of_window_has_its_fields(
    client: Client, tenant_a: Tenant, window: dict[str, str], stored: dict[str, Any]
) -> None:
    client.post(f"{LIST}add/", form(tenant_a, **window))

    assert Streak.objects.get().config["window"] == stored


def test_faults_stand_at_their_fields(client: Client, tenant_a: Tenant) -> None:
    rows = {
        "milestones-rows": "2",
        "milestones-0-threshold": "3",
        "milestones-1-threshold": "3",
    }

    answer = client.post(
        f"{LIST}add/",
        form(tenant_a, name="a/b", timezone="Mars", measure="sum", minimum="0", **rows),
    )

    found = errors(answer)
    assert set(found) == {"name", "timezone", "field", "minimum", "milestones"}
    assert found["milestones"] == ["Row 2, threshold: stands in another milestone already."]
    assert not Streak.objects.exists()


def test_the_form_shows_and_keeps_what_is_stored(client: Client, tenant_a: Tenant) -> None:
    item = reward(tenant_a)
    streak = make(tenant_a, milestones=[milestone(7, item)], expression={"attrs.a": {"eq": 1}})
    page = client.get(f"{LIST}{streak.pk}/change/")
    shown = page.context["adminform"].form

    sent = {name: shown.get_initial_for_field(field, name) for name, field in shown.fields.items()}
    sent |= {"expression": '{"attrs.a": {"eq": 1}}', "description": "Changed", "reason": "why"}
    sent |= {
        "milestones-rows": "1",
        "milestones-0-threshold": "7",
        "milestones-0-items": [str(item.pk)],
    }
    answer = client.post(
        f"{LIST}{streak.pk}/change/", {k: "" if v is None else v for k, v in sent.items()}
    )

    assert answer.status_code == 302, errors(answer)
    changed = Streak.objects.get()
    assert (changed.config, changed.version) == (streak.config, 2)
    assert changed.description == "Changed"
    assert DocumentVersion.objects.get(version=2).reason == "why"


def test_an_outdated_form_is_refused(client: Client, tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    page = f"{LIST}{streak.pk}/change/"
    client.post(page, form(tenant_a, name="Second", expected_version="1"))

    answer = client.post(page, form(tenant_a, name="Late", expected_version="1"), follow=True)

    assert Streak.objects.get().name == "Second"
    assert any("version" in text for text in messages_of(answer))


def test_a_streak_is_paused_resumed_and_archived_with_a_reason(
    client: Client, tenant_a: Tenant
) -> None:
    streak = make(tenant_a)
    seen = []
    for name in ("pause", "resume", "archive"):
        url = f"{LIST}{streak.pk}/{name}/"
        assert client.get(url).status_code == 200
        client.post(url, {"confirmed": "1", "reason": "season"})
        seen.append(Streak.objects.get().status)

    assert seen == ["paused", "active", "archived"]
    assert DocumentVersion.objects.filter(reason="season").count() == 3
    assert client.get(f"{LIST}{streak.pk}/delete/").status_code == 403
    assert "Archived" in text_of(client.get(f"{LIST}{streak.pk}/change/"))


def test_several_streaks_are_paused_at_once(client: Client, tenant_a: Tenant) -> None:
    keys = [str(make(tenant_a, name).pk) for name in ("One", "Two")]
    sent = {"action": "pause_selected", "_selected_action": keys}

    asked = client.post(LIST, sent)
    client.post(LIST, {**sent, "confirmed": "1", "reason": "x"})

    assert "Nothing counts" in text_of(asked)
    assert set(Streak.objects.values_list("status", flat=True)) == {"paused"}


def test_windows_are_shown_over_the_next_change_of_the_clock(
    client: Client, tenant_a: Tenant
) -> None:
    streak = make(
        tenant_a,
        window={"type": "calendar", "period": "daily", "timezone": "Europe/Berlin"},
    )

    page = text_of(client.get(f"{LIST}{streak.pk}/windows/"))

    assert "When the clock changes on 29 March 2026" in page
    assert "Sun 29 Mar 2026, 00:00 CET Mon 30 Mar 2026, 00:00 CEST 23" in page


def test_windows_of_a_player_are_shown_for_any_zone(client: Client, tenant_a: Tenant) -> None:
    streak = make(tenant_a, window={"type": "calendar", "period": "daily", "timezone": "player"})
    url = f"{LIST}{streak.pk}/windows/"

    assert "clock changes" not in text_of(client.get(url, {"zone": "Asia/Tokyo"}))
    assert "01 November 2026" in text_of(client.get(url, {"zone": "America/New_York"}))


def test_versions_tell_what_changed(client: Client, tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    client.post(f"{LIST}{streak.pk}/change/", form(tenant_a, minimum="3", expected_version="1"))

    page = text_of(client.get(f"{LIST}{streak.pk}/versions/"))

    assert "Version 2" in page
    assert "condition.min 1 3" in page


def test_who_may_only_look_sees_the_streak_and_changes_nothing(
    ops: AbstractUser, tenant_a: Tenant
) -> None:
    streak = make(tenant_a)
    allow(ops, "view_streak", "view_playerstreak")
    login(tenant_a, day(9))
    viewer = signed_in(ops)

    page = viewer.get(f"{LIST}{streak.pk}/change/")

    assert "1 user.login every day (UTC)" in text_of(page)
    assert viewer.get(f"{LIST}{streak.pk}/pause/").status_code == 403
    assert viewer.post(f"{PLAYERS}{row_of(streak).pk}/repair/").status_code == 403


# --- Players' streaks ----------------------------------------------------------------------------


def test_support_sees_what_a_player_has_and_why(client: Client, tenant_a: Tenant) -> None:
    streak = make(tenant_a, milestones=[milestone(2)], freeze={"max_held": 2, "per_break": 1})
    give_freezes(streak)
    login(tenant_a, day(6), day(7), day(9))

    listed = text_of(client.get(PLAYERS, {"player": "ana"}))
    page = text_of(client.get(f"{PLAYERS}{row_of(streak).pk}/change/"))

    assert "Daily login" in listed
    assert "In a row 3" in page
    assert "2026-03-09" in page
    assert "Kept by a freeze" in page
    assert "Used" in page
    assert "sorry" in page


def test_a_repair_is_made_and_taken_back(client: Client, tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(7), day(9))
    url = f"{PLAYERS}{row_of(streak).pk}/"

    asked = client.get(f"{url}repair/")
    sent = {"confirmed": "1", "windows": "2026-03-09", "reason": "outage"}
    client.post(f"{url}repair/", sent)
    repaired = count(streak, now=NOW)
    row = StreakRepair.objects.get()
    reverse = f"{url}repairs/{row.pk}/reverse/"
    assert reverse in client.get(f"{url}change/").content.decode()
    client.post(reverse, {"confirmed": "1", "reason": "mistake"})

    assert "Milestones that it reaches are given" in text_of(asked)
    assert (repaired, count(streak, now=NOW)) == (3, 1)
    row.refresh_from_db()
    assert (row.actor, row.reverse_reason) == ("ops", "mistake")


def test_a_repair_that_names_no_window_is_said_so(client: Client, tenant_a: Tenant) -> None:
    streak = make(tenant_a)
    login(tenant_a, day(7))
    url = f"{PLAYERS}{row_of(streak).pk}/repair/"

    sent = {"confirmed": "1", "windows": "nonsense", "reason": "x"}
    answer = client.post(url, sent, follow=True)

    assert any("is no window" in text for text in messages_of(answer))


def test_freezes_are_given_by_a_page(client: Client, tenant_a: Tenant) -> None:
    streak = make(tenant_a, freeze={"max_held": 2, "per_break": 1})
    login(tenant_a, day(9))
    url = f"{PLAYERS}{row_of(streak).pk}/give-freezes/"

    client.post(url, {"confirmed": "1", "count": "5", "reason": "birthday"})

    assert freeze_moves() == [("staff", 2, 2)]


def test_staff_of_one_tenant_see_no_streak_of_another(client: Client, tenant_b: Tenant) -> None:
    theirs = make(tenant_b, "Theirs")
    login(tenant_b, day(9))
    row = row_of(theirs)
    repair(theirs, "2026-03-09", now=NOW)
    undo = StreakRepair.objects.get().pk

    assert "Theirs" not in text_of(client.get(LIST))
    assert "Theirs" not in text_of(client.get(PLAYERS))
    for url in (
        f"{LIST}{theirs.pk}/windows/",
        f"{LIST}{theirs.pk}/versions/",
        f"{LIST}{theirs.pk}/pause/",
        f"{PLAYERS}{row.pk}/repair/",
        f"{PLAYERS}{row.pk}/give-freezes/",
        f"{PLAYERS}{row.pk}/repairs/{undo}/reverse/",
    ):
        assert client.get(url).status_code in (302, 403, 404), url
