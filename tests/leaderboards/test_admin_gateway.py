from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries, Settings

from leaderboards.models import Leaderboard
from leaderboards.services import windows
from leaderboards.types import RankedEntry
from tenants.models import AuditEntry, Tenant
from tests.leaderboards.admin_cast import BackOffice, config, paths_of
from tests.leaderboards.boards import put_entries
from tests.tenants.cast import new_secret, tenant_token


@pytest.fixture
def office(tenant_a: Tenant) -> BackOffice:
    return BackOffice(tenant_a)


# --- Making boards -------------------------------------------------------------------------------


def test_acceptance_1_a_board_is_made_once(office: BackOffice) -> None:
    first = office.create("xp-weekly-global")
    again = office.create("xp-weekly-global")
    alias = office.ask(
        "POST",
        f"/v1/leaderboards?tenant_id={office.tenant.pk}",
        {"leaderboard_id": "other", "name": "Other", "config": config()},
    )

    assert first.status_code == 201
    assert (first.json()["status"], first.json()["version"]) == ("active", 1)
    assert first["Location"] == "/v1/tenants/tenant-a/leaderboards/xp-weekly-global"
    assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")
    assert alias.status_code == 201


def test_a_new_board_is_answered_with_every_default(office: BackOffice) -> None:
    made = office.create().json()

    assert made["tenant_id"] == "tenant-a"
    assert made["description"] == ""
    assert made["reward_config_id"] is None
    assert made["config"] == {
        "scope": {},
        "timeframe": {
            "type": "weekly",
            "timezone": "UTC",
            "reset_day": "monday",
            "reset_time": "00:00",
            "grace_seconds": 300,
        },
        "scoring": {
            "rules": [{"event_type": "game.completed", "points_expression": "attrs.points"}],
            "match": "all",
            "aggregation": "sum",
            "decimals": 0,
        },
        "ranking": {"method": "score_desc", "tie_policy": "first_to_reach", "size": 1000},
        "snapshots": {"every_seconds": 3600, "top": 100},
    }
    assert made["created_at"].endswith("Z")
    assert office.get(f"{office.boards}/xp").json() == made


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"timeframe": {"type": "weekly", "reset_dya": "monday"}}, "config.timeframe.reset_dya"),
        ({"timeframe": {"type": "weekly", "timezone": "Mars/One"}}, "config.timeframe.timezone"),
        (
            {"scoring": {"rules": [{"event_type": "a", "points_expression": '__import__("os")'}]}},
            "config.scoring.rules.0.points_expression",
        ),
        (
            {"scoring": {"rules": [{"event_type": "a", "points_expression": "1" + " " * 500}]}},
            "config.scoring.rules.0.points_expression",
        ),
        ({"timeframe": {"type": "cron"}}, "config.timeframe.type"),
        ({"partition_by": "country"}, "config.partition_by"),
    ],
)
def test_acceptance_2_a_fault_of_the_config_is_named_by_its_path(
    office: BackOffice, change: dict[str, Any], path: str
) -> None:
    answer = office.create(config=config() | change)

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert paths_of(answer) == {path}
    assert not Leaderboard.objects.exists()


def test_all_faults_are_reported_at_once(office: BackOffice) -> None:
    answer = office.ask(
        "POST",
        office.boards,
        {
            "leaderboard_id": "-",
            "description": 7,
            "reward_config_id": "gold",
            "status": "archived",
            "tenant_id": "tenant-b",
            "config": {"timeframe": {"type": "daily", "reset_day": 1}, "ranking": {"sise": 1}},
        },
    )

    assert paths_of(answer) == {
        "leaderboard_id",
        "name",
        "description",
        "reward_config_id",
        "status",
        "tenant_id",
        "config.scoring",
        "config.timeframe.reset_day",
        "config.ranking.sise",
    }


@pytest.mark.parametrize("body", [b"[]", b"7", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_refused(office: BackOffice, body: bytes) -> None:
    answer = office.ask("POST", office.boards, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a\u0000b"},
        {"config": {"scope": {"filters": {"attrs.a": {"eq": "\u0000"}}}}},
        {"config": {"scope": {"filters": {"attrs.a\u0000": {"eq": 1}}}}},
        {"leaderboard_id": "backtests"},
        {"name": ""},
        {"name": "x" * 256},
        {"description": "x" * 2001},
        {"config": None},
        {"config": {"timeframe": [[[[]]]]}},
    ],
)
def test_what_cannot_be_stored_is_refused(office: BackOffice, fields: dict[str, Any]) -> None:
    if isinstance(fields.get("config"), dict):
        fields = {"config": config() | fields["config"]}

    assert office.create(**fields).status_code == 400


def test_nesting_without_end_is_refused(office: BackOffice) -> None:
    deep = b'{"leaderboard_id":"xp","name":"x","config":{"scope":' + b"[" * 300 + b"]" * 300 + b"}}"

    answer = office.ask("POST", office.boards, deep)

    assert answer.status_code == 400
    assert office.create().status_code == 201
    assert office.ask("PATCH", f"{office.boards}/xp", deep).status_code == 400


def test_a_key_repeats_its_request_and_gets_the_first_answer(office: BackOffice) -> None:
    body = {"leaderboard_id": "xp", "name": "Experience", "config": config()}

    first = office.ask("POST", office.boards, body, Idempotency_Key="once")
    again = office.ask("POST", office.boards, body, Idempotency_Key="once")
    other = office.ask("POST", office.boards, body | {"name": "x"}, Idempotency_Key="once")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")


# --- Who may -------------------------------------------------------------------------------------


def test_acceptance_11_a_key_of_another_tenant_or_without_scope_is_refused(
    office: BackOffice, tenant_b: Tenant
) -> None:
    office.create()
    stranger = BackOffice(tenant_b)
    reader = BackOffice(office.tenant, scopes=("leaderboards:read",))

    foreign = stranger.get(f"{office.boards}/xp")
    alias = stranger.get("/v1/leaderboards?tenant_id=tenant-a")

    assert (foreign.status_code, foreign.json()["code"]) == (403, "AUTH_005")
    assert (alias.status_code, alias.json()["code"]) == (403, "AUTH_005")
    assert reader.get(f"{office.boards}/xp").status_code == 200
    assert reader.create("new").status_code == 403
    assert stranger.get(f"{stranger.boards}/xp").status_code == 404


@pytest.mark.parametrize("board_id", ["unknown", "a%00b", "a%2Fb", "x" * 100])
def test_an_unknown_board_is_not_there(office: BackOffice, board_id: str) -> None:
    path = f"{office.boards}/{board_id}"

    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert office.ask(method, path, {}).status_code == 404
    assert office.get(f"{path}/windows").status_code == 404
    assert office.get(f"{path}/versions").status_code == 404


def test_a_body_of_another_tenant_or_board_is_refused(office: BackOffice) -> None:
    office.create()

    assert paths_of(office.patch(tenant_id="tenant-b", name="x")) == {"tenant_id"}
    assert paths_of(office.patch(leaderboard_id="other", name="x")) == {"leaderboard_id"}
    assert office.patch(tenant_id="tenant-a", leaderboard_id="xp", name="x").status_code == 200


# --- Lists ---------------------------------------------------------------------------------------


def test_boards_are_listed_by_page_and_status(office: BackOffice) -> None:
    for name in ("c", "a", "b"):
        office.create(name)
    office.set_status("inactive", "b")

    page = office.get(f"{office.boards}?limit=2&offset=1").json()
    active = office.get(f"{office.boards}?status=active").json()

    assert (page["total"], [one["leaderboard_id"] for one in page["leaderboards"]]) == (
        3,
        ["b", "c"],
    )
    assert [one["leaderboard_id"] for one in active["leaderboards"]] == ["a", "c"]


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "offset=-1", "status=asleep", "limit=x"])
def test_acceptance_12_a_bad_page_is_refused_by_name(office: BackOffice, query: str) -> None:
    answer = office.get(f"{office.boards}?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "VAL_001")
    assert paths_of(answer) == {query.partition("=")[0]}


def test_without_a_tenant_all_boards_of_the_key_are_listed(
    office: BackOffice, tenant_b: Tenant
) -> None:
    office.create("a")
    BackOffice(tenant_b).create("b")
    both = BackOffice(office.tenant, tenant_b)

    assert office.get("/v1/leaderboards").json()["total"] == 1
    assert both.get("/v1/leaderboards").json()["total"] == 2
    assert both.get("/v1/leaderboards?tenant_id=tenant-b").json()["total"] == 1
    assert both.ask("POST", "/v1/leaderboards", {}).status_code == 400


def test_a_list_takes_as_many_queries_for_one_board_as_for_twenty(
    office: BackOffice, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    office.create("first")
    office.get(office.boards)

    with django_assert_num_queries(2):
        office.get(office.boards)
    for number in range(20):
        office.create(f"b{number}")
    with django_assert_num_queries(2):
        assert office.get(office.boards).json()["total"] == 21


def test_the_shared_path_goes_by_the_kind_of_credential(
    office: BackOffice, tenant_b: Tenant
) -> None:
    office.create()
    secret = new_secret(office.tenant).value
    token = {"Authorization": f"Bearer {tenant_token(office.tenant.pk, secret)}"}
    client = Client()

    players = client.get("/v1/leaderboards", headers=token)
    own = client.get("/v1/leaderboards?tenant_id=tenant-a", headers=token)
    foreign = client.get("/v1/leaderboards?tenant_id=tenant-b", headers=token)
    post = client.post("/v1/leaderboards", headers=token)
    nobody = client.get("/v1/leaderboards")

    assert "window_key" in players.json()["leaderboards"][0]
    assert own.json() == players.json()
    assert (foreign.status_code, foreign.json()["code"]) == (403, "AUTH_005")
    assert (post.status_code, post.json()["code"]) == (401, "AUTH_003")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "AUTH_002")


# --- Changing boards -----------------------------------------------------------------------------


def test_a_patch_merges_objects_and_makes_a_version(office: BackOffice) -> None:
    office.create()

    changed = office.patch(description="New", config={"ranking": {"size": 10, "min_score": 0.5}})
    cleared = office.patch(description=None, config={"ranking": {"min_score": None}})

    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert changed.json()["name"] == "Experience"
    assert changed.json()["config"]["ranking"] == {
        "method": "score_desc",
        "tie_policy": "first_to_reach",
        "size": 10,
        "min_score": 0.5,
    }
    assert cleared.json()["description"] == ""
    assert "min_score" not in cleared.json()["config"]["ranking"]


def test_a_put_replaces_everything(office: BackOffice) -> None:
    office.create(description="Old", config=config() | {"ranking": {"size": 10}})

    changed = office.ask("PUT", f"{office.boards}/xp", {"name": "New", "config": config()}).json()
    partial = office.ask("PUT", f"{office.boards}/xp", {"name": "New"})

    assert (changed["name"], changed["description"], changed["version"]) == ("New", "", 2)
    assert changed["config"]["ranking"]["size"] == 1000
    assert paths_of(partial) == {"config"}


def test_what_was_answered_can_be_put_back_unchanged(office: BackOffice) -> None:
    made = office.create().json()

    again = office.ask("PUT", f"{office.boards}/xp", made)

    assert (again.status_code, again.json()["version"]) == (200, 1)


def test_another_type_of_timeframe_drops_what_it_does_not_have(office: BackOffice) -> None:
    office.create()

    daily = office.patch(config={"timeframe": {"type": "daily"}})
    wrong = office.patch(config={"timeframe": {"type": "hourly", "reset_day": "monday"}})

    assert daily.json()["config"]["timeframe"] == {
        "type": "daily",
        "timezone": "UTC",
        "reset_time": "00:00",
        "grace_seconds": 300,
    }
    assert paths_of(wrong) == {"config.timeframe.reset_day"}


def test_an_outdated_expected_version_is_refused(office: BackOffice) -> None:
    office.create()
    office.patch(name="Newer")

    stale = office.patch(name="Mine", expected_version=1)
    fresh = office.patch(name="Mine", expected_version=2)

    assert (stale.status_code, stale.json()["code"]) == (409, "VERSION_CONFLICT")
    assert (fresh.status_code, fresh.json()["version"]) == (200, 3)


def test_every_version_is_readable_with_author_and_difference(office: BackOffice) -> None:
    office.create()
    office.patch(config={"ranking": {"size": 10}})
    office.set_status("inactive")

    listed = office.get(f"{office.boards}/xp/versions").json()

    newest, oldest = listed["versions"]
    assert listed["total"] == 2
    assert (newest["version"], newest["author"], newest["effect"]) == (2, "Back office", "at_once")
    assert newest["changes"] == [{"path": "config.ranking.size", "before": 1000, "after": 10}]
    assert (oldest["version"], oldest["changes"]) == (1, [])
    assert oldest["config"]["ranking"]["size"] == 1000


def test_changes_are_audited(office: BackOffice) -> None:
    office.create()
    office.patch(name="Newer")
    office.set_status("inactive")

    entries = AuditEntry.objects.filter(object_type="leaderboard").order_by("at", "id")

    assert list(entries.values_list("action", flat=True)) == [
        "leaderboard.created",
        "leaderboard.changed",
        "leaderboard.status_changed",
    ]
    changed = entries[1]
    assert (changed.before, changed.after) == ({"name": "Experience"}, {"name": "Newer"})
    assert changed.actor_label == "Back office"


def test_archiving_is_final_and_may_be_repeated(office: BackOffice) -> None:
    office.create()

    assert office.ask("DELETE", f"{office.boards}/xp").status_code == 204
    assert office.ask("DELETE", f"{office.boards}/xp").status_code == 204
    assert office.get(f"{office.boards}/xp").json()["status"] == "archived"
    assert office.set_status("active").status_code == 409
    assert office.patch(name="New").status_code == 409
    assert office.create().status_code == 409
    assert office.windows()[0]["window_status"] == "void"


@pytest.mark.parametrize(
    "change",
    [{"status": "asleep"}, {"effective": "tomorrow"}, {"expected_version": "1"}, {"status": 1}],
)
def test_a_bad_wish_is_named(office: BackOffice, change: dict[str, Any]) -> None:
    office.create()

    assert paths_of(office.patch("xp", **change)) == set(change)


# --- Windows -------------------------------------------------------------------------------------

Span = tuple[str, str, str | None]
BOUNDARIES: list[tuple[dict[str, Any], list[str], list[Span]]] = [
    (
        {"type": "daily", "timezone": "America/New_York", "reset_time": "02:30"},
        ["2026-03-08T12:00:00Z"],
        [("2026-03-08", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z")],
    ),
    (
        {"type": "daily", "timezone": "America/New_York", "reset_time": "01:30"},
        ["2026-11-01T12:00:00Z"],
        [("2026-11-01", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z")],
    ),
    (
        {"type": "hourly", "timezone": "America/New_York"},
        ["2026-11-01T05:10:00Z", "2026-11-01T07:20:00Z"],
        [
            ("2026-11-01T01", "2026-11-01T05:00:00Z", "2026-11-01T06:00:00Z"),
            ("2026-11-01T01~2", "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"),
            ("2026-11-01T02", "2026-11-01T07:00:00Z", "2026-11-01T08:00:00Z"),
        ],
    ),
    (
        {"type": "hourly", "timezone": "America/New_York"},
        ["2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"],
        [
            ("2026-03-08T01", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"),
            ("2026-03-08T03", "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"),
        ],
    ),
    (
        {"type": "hourly", "timezone": "Australia/Lord_Howe"},
        ["2026-04-04T15:29:59Z"],
        [("2026-04-05T01", "2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z")],
    ),
    (
        {"type": "hourly", "timezone": "Asia/Kolkata"},
        ["2026-11-18T12:45:00Z"],
        [("2026-11-18T18", "2026-11-18T12:30:00Z", "2026-11-18T13:30:00Z")],
    ),
    (
        {"type": "weekly", "timezone": "Europe/Berlin"},
        ["2026-03-25T12:00:00Z"],
        [("2026-W13", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z")],
    ),
    (
        {"type": "monthly", "timezone": "Asia/Tokyo", "reset_day": 15, "reset_time": "09:00"},
        ["2026-02-20T12:00:00Z"],
        [("2026-02", "2026-02-15T00:00:00Z", "2026-03-15T00:00:00Z")],
    ),
    (
        {"type": "hourly"},
        ["2026-11-18T12:30:00Z"],
        [("2026-11-18T12", "2026-11-18T12:00:00Z", "2026-11-18T13:00:00Z")],
    ),
    (
        {"type": "daily"},
        ["2026-11-18T12:30:00Z"],
        [("2026-11-18", "2026-11-18T00:00:00Z", "2026-11-19T00:00:00Z")],
    ),
    (
        {"type": "weekly"},
        ["2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"],
        [
            ("2026-W53", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
            ("2027-W01", "2027-01-04T00:00:00Z", "2027-01-11T00:00:00Z"),
        ],
    ),
    (
        {"type": "monthly"},
        ["2026-11-18T12:30:00Z"],
        [("2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")],
    ),
    (
        {
            "type": "custom",
            "start_at": "2026-01-01T01:00:00+01:00",
            "end_at": "2026-02-01T00:00:00Z",
        },
        ["2026-01-15T00:00:00Z"],
        [
            (
                "custom_20260101T000000Z_20260201T000000Z",
                "2026-01-01T00:00:00Z",
                "2026-02-01T00:00:00Z",
            )
        ],
    ),
    (
        {"type": "all_time"},
        ["2026-01-15T00:00:00Z"],
        [("all_time", "2000-01-01T00:00:00Z", None)],
    ),
]


@pytest.mark.parametrize(("timeframe", "moments", "expected"), BOUNDARIES)
def test_acceptance_13_windows_have_the_printed_boundaries_and_keys(
    tenant_a: Tenant, timeframe: dict[str, Any], moments: list[str], expected: list[Span]
) -> None:
    with time_machine.travel(datetime.fromisoformat(moments[0]), tick=False) as clock:
        office = BackOffice(tenant_a)
        office.create(config=config(**timeframe))
        for moment in moments[1:]:
            clock.move_to(datetime.fromisoformat(moment), tick=False)
            windows.sweep_windows(now=timezone.now())
        listed = office.windows()
        secret = new_secret(tenant_a).value
        token = tenant_token(tenant_a.pk, secret)
        shown = Client().get(
            "/v1/leaderboards/xp/windows", headers={"Authorization": f"Bearer {token}"}
        )

    spans = [(one["window_key"], one["window_start"], one["window_end"]) for one in listed]
    assert spans == expected[::-1]
    assert shown.json()["windows"] == listed


def test_the_entries_of_a_window_are_listed_with_those_that_are_not_ranked(
    office: BackOffice,
) -> None:
    office.create(config=config() | {"ranking": {"min_score": 2, "tie_policy": "shared"}})
    window = Leaderboard.objects.get().windows.get()
    now = datetime(2026, 11, 18, tzinfo=UTC)
    scores = {"a": 1, "b": 5, "c": 5, "d": 9}
    put_entries(window, [RankedEntry(name, score, now) for name, score in scores.items()])

    page = office.get(f"{office.boards}/xp/windows/current/entries?limit=3&offset=1").json()
    by_key = office.get(f"{office.boards}/xp/windows/{window.key}/entries").json()

    assert (page["total"], page["limit"], page["offset"]) == (4, 3, 1)
    assert [(one["user_id"], one["rank"]) for one in page["entries"]] == [
        ("b", 2),
        ("c", 2),
        ("a", None),
    ]
    assert by_key["entries"][1:] == page["entries"]
    assert page["entries"][2] == {
        "rank": None,
        "ranked": False,
        "hidden": False,
        "user_id": "a",
        "score": 1,
        "reached_at": "2026-11-18T00:00:00Z",
        "event_count": 1,
    }


def test_entries_of_no_window_are_not_there(office: BackOffice) -> None:
    office.create()

    assert office.get(f"{office.boards}/xp/windows/2020-W01/entries").status_code == 404
    assert office.get(f"{office.boards}/xp/windows/yesterday/entries").status_code == 400


def test_windows_are_listed_by_page(office: BackOffice) -> None:
    office.create(config=config(type="hourly"))
    windows.sweep_windows(now=timezone.now() + timedelta(hours=5))

    answer = office.get(f"{office.boards}/xp/windows?limit=1001")
    now = office.get(f"{office.boards}/xp/windows?limit=5").json()

    assert answer.status_code == 400
    assert (now["total"], len(now["windows"])) == (1, 1)


@pytest.mark.parametrize(
    ("gateways", "players", "offices"), [("admin", 401, 200), ("query", 200, 401)]
)
def test_where_one_gateway_is_mounted_the_other_kind_of_credential_is_refused(
    office: BackOffice, settings: Settings, gateways: str, players: int, offices: int
) -> None:
    settings.PHOENIX_GATEWAYS = frozenset({gateways})
    token = tenant_token(office.tenant.pk, new_secret(office.tenant).value)

    answer = Client().get("/v1/leaderboards", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == players
    assert office.get("/v1/leaderboards").status_code == offices


@pytest.mark.parametrize(
    "token", ["x", "a.b.c", "a.e30.c", "a.eyJzdWJfdHlwZSI6W119.c", "a.\u00e9.c"]
)
def test_a_token_that_is_none_is_refused_by_the_admin_gateway(
    office: BackOffice, token: str
) -> None:
    answer = Client().get("/v1/leaderboards", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 401
