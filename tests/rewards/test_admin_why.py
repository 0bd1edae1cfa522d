"""Why and why not, what a player has, backtests, and the front page: what support staff read."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from players.models import Player
from rewards.models import Firing, Grant, Refusal, Rule
from rewards.models.jobs import Job
from rewards.selectors.activity import rewards_activity
from rewards.services import jobs
from tenants.models import Tenant
from tests.rewards.rule_log import active, credit, currency, grant, item, pause, process, send
from tests.staff import allow, messages_of, signed_in, text_of

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/rewards/rule/"
WHY = f"{LIST}why/"
ALL = ("view_rule", "view_participant", "backtest_rule", "publish_rule", "view_event", "view_job")


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    cache.clear()


@pytest.fixture
def client(ops: AbstractUser) -> Client:
    allow(ops, *ALL, "view_player", "view_grant")
    return signed_in(ops)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def played(tenant_a: Tenant, now: datetime) -> Tenant:
    """Let Ana fire a rule once, be refused once, and miss once."""
    currency(tenant_a, unit_cost=Decimal("0.01"))
    sword = item(tenant_a, unit_cost=5)
    active(
        tenant_a,
        conditions={"attrs.bet": {"gte": 20}},
        effects=[credit(50), grant(sword)],
        limits={"per_player": {"day": 1}},
        now=now - timedelta(hours=1),
    )
    for bet in (25, 30, 5):
        send(tenant_a, at=now, received_at=now, bet=bet)
    process(now=now)
    return tenant_a


def why(client: Client, **asked: Any) -> Any:
    return client.get(WHY, asked)


def event_of(model: type[Firing] | type[Refusal]) -> str:
    return str(model.objects.get().event_id)


def card(user_id: str = "ana") -> str:
    player = Player.objects.get(external_id=user_id)
    return f"/admin/rewards/participant/{player.pk}/change/"


# --- Why -----------------------------------------------------------------------------------------


def test_a_firing_is_explained_with_all_that_came_of_it(client: Client, played: Tenant) -> None:
    answer = why(client, tenant="tenant-a", event=event_of(Firing), rule="big-win")

    [outcome] = answer.context["outcomes"]
    assert (outcome["is_granted"], outcome["effects"]) == (
        True,
        ["Credits 50 gold", "Gives “Sword”"],
    )
    steps = [(step.kind, step.title) for step in answer.context["steps"]]
    assert steps == [
        ("Event", "game.completed of ana"),
        ("Firing", "Rule “Big win”, version 1, fired"),
        ("Transaction", "Credit: +50 gold, balance 50"),
        ("Grant", "“Sword”: granted"),
    ]
    text = text_of(answer)
    assert "attrs.bet is at least 20 25 yes" in text
    assert "Costs 5.5 EUR" in text


def test_a_refusal_and_a_miss_are_explained(client: Client, played: Tenant) -> None:
    refused = why(client, tenant="tenant-a", event=event_of(Refusal), rule="big-win")
    judged = {event_of(Firing), event_of(Refusal)}
    listed = why(client, tenant="tenant-a", player="ana").context["events"]
    games = {each["event"].event_id for each in listed if each["event"].type == "game.completed"}
    [missed_id] = games - judged
    missed = why(client, tenant="tenant-a", event=missed_id)

    assert "Limit of the day" in text_of(refused)
    assert "Already granted 1 of 1" in text_of(refused)
    assert refused.context["steps"] == []
    [outcome] = missed.context["outcomes"]
    assert outcome["verdict"] == "Conditions not met"
    assert outcome["trace"] == [
        {
            "field": "attrs.bet",
            "expected": "is at least 20",
            "actual": "5",
            "note": "",
            "result": False,
        }
    ]


def test_acceptance_18_a_paused_rule_is_said_to_be_not_active(
    client: Client, played: Tenant, now: datetime
) -> None:
    pause(played, now=now + timedelta(seconds=1))
    later = now + timedelta(seconds=5)
    event = send(played, at=later, received_at=later, bet=50)
    process(now=later)

    answer = why(client, tenant="tenant-a", event=event.event_id, rule="big-win")

    assert "Rule not active" in text_of(answer)


def test_one_arrives_by_a_grant_or_a_firing(client: Client, played: Tenant) -> None:
    by_grant = why(client, grant=Grant.objects.get().pk)
    by_firing = why(client, firing=Firing.objects.get().pk)

    assert [step.kind for step in by_grant.context["steps"]] == ["Event", "Firing", "Grant"]
    assert by_grant.context["asked"].user_id == "ana"
    assert [step.kind for step in by_firing.context["steps"]] == [
        *("Event", "Firing", "Transaction", "Grant")
    ]


def test_a_grant_that_no_rule_gave_tells_its_source(client: Client, played: Tenant) -> None:
    given = Grant.objects.get()
    Grant.objects.update(
        source_type="manual",
        source_id="s-1",
        rule=None,
        firing=None,
        cause_event_id=None,
        context={"note": "Sorry"},
    )

    answer = why(client, grant=given.pk)

    assert [step.kind for step in answer.context["steps"]] == ["Source", "Grant"]
    assert "Staff s-1" in text_of(answer)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "Name a player"),
        ({"tenant": "tenant-a", "player": "nobody"}, "nobody has no events here"),
        ({"tenant": "tenant-a", "event": "nope"}, "tenant-a has no event nope"),
        ({"tenant": "tenant-a", "rule": "nope"}, "tenant-a has no rule nope"),
        ({"tenant": "nope"}, "There is no such tenant"),
        ({"grant": "nope"}, "There is no such grant"),
        ({"firing": "0198-"}, "There is no such firing"),
        ({"tenant": "tenant-a", "event": "\0"}, "tenant-a has no event"),
        ({"tenant": "\0"}, "There is no such tenant"),
    ],
)
def test_what_cannot_be_explained_is_said(
    client: Client, tenant_a: Tenant, asked: dict[str, str], said: str
) -> None:
    assert said in text_of(why(client, **asked))


def test_an_event_that_no_rule_looks_at_is_said(
    client: Client, played: Tenant, now: datetime
) -> None:
    event = send(played, type="user.login", at=now, received_at=now)

    assert "No rule of tenant-a looked at this event" in text_of(
        why(client, tenant="tenant-a", event=event.event_id)
    )


def test_the_contents_of_events_are_for_those_who_may_see_events(
    ops: AbstractUser, played: Tenant
) -> None:
    allow(ops, "view_rule")

    answer = why(signed_in(ops), tenant="tenant-a", event=event_of(Firing))

    assert answer.context["event_text"] == ""
    assert len(answer.context["outcomes"]) == 1


def test_nothing_of_another_tenant_is_explained(
    client: Client, played: Tenant, tenant_b: Tenant
) -> None:
    Tenant.objects.filter(pk="tenant-a").update(name="A")
    foreign = Grant.objects.get()
    Grant.objects.update(tenant=tenant_b)
    Firing.objects.update(tenant=tenant_b)

    for asked in (
        {"grant": foreign.pk},
        {"firing": Firing.objects.get().pk},
        {"tenant": "tenant-b", "player": "cleo"},
        {"tenant": "tenant-b", "event": "x"},
    ):
        answer = why(client, **asked)
        assert answer.context["asked"].tenant_id == ""
        assert "no such" in text_of(answer)
        assert answer.context["steps"] == answer.context["outcomes"] == []


# --- The player's card ---------------------------------------------------------------------------


def test_acceptance_adm_12_the_card_shows_what_a_player_has(client: Client, played: Tenant) -> None:
    answer = client.get(card())

    text = text_of(answer)
    assert "gold 50 0 50" in text
    assert "Rule big-win, version 1, for event" in text
    assert "Sword" in text
    assert "Granted" in text
    assert "Why not?" in text
    assert [row["moves"] for row in answer.context["transactions"]] == [["+50 gold"]]
    assert answer.context["transactions"][0]["why"].startswith(f"{WHY}?firing=")
    assert answer.context["grants"][0]["why"] == f"{WHY}?grant={Grant.objects.get().pk}"


def test_the_card_shows_balances_of_another_time(
    client: Client, played: Tenant, now: datetime
) -> None:
    before = now - timedelta(minutes=5)

    earlier = client.get(card(), {"at": f"{before:%Y-%m-%d %H:%M:%S}"})
    unreadable = client.get(card(), {"at": "yesterday"})

    assert [each.available for each in earlier.context["balances"].balances] == [0]
    assert "Write a time" in text_of(unreadable)


def test_the_card_says_what_keeps_a_player_from_rewards(client: Client, played: Tenant) -> None:
    opting = {"is_opted_out": True, "opt_reasons": ["Enough"], "opt_changed_at": timezone.now()}
    Player.objects.update(**opting, status="self_excluded")

    text = text_of(client.get(card()))

    assert "The account is self_excluded." in text
    assert "opted out of gamification" in text


def test_the_card_of_a_player_without_anything_is_shown(
    client: Client, played: Tenant, tenant_b: Tenant
) -> None:
    Player.objects.create(tenant=played, external_id="new")
    Player.objects.create(tenant=tenant_b, external_id="cleo")

    assert client.get(card("new")).status_code == 200
    assert client.get(card("cleo")).status_code == 404
    for wrong in ("nope", "0198"):
        assert client.get(f"/admin/rewards/participant/{wrong}/change/").status_code == 404


def test_the_card_is_for_those_who_may_see_it(ops: AbstractUser, played: Tenant) -> None:
    allow(ops, "view_rule", "view_player")

    assert signed_in(ops).get(card()).status_code == 403


def test_other_pages_lead_to_the_card_and_to_why(client: Client, played: Tenant) -> None:
    player, given = Player.objects.get(), Grant.objects.get()

    about_player = client.get(f"/admin/players/player/{player.pk}/change/").content.decode()
    about_grant = client.get(f"/admin/rewards/grant/{given.pk}/change/").content.decode()
    row = Firing.objects.get().event_row
    about_event = client.get(f"/admin/ingestion/event/{row}/change/").content.decode()

    assert card() in about_player
    assert f"{WHY}?grant={given.pk}" in about_grant
    assert f"{WHY}?tenant=tenant-a&amp;event=" in about_event


# --- Backtests -----------------------------------------------------------------------------------


@pytest.fixture
def backtests(played: Tenant) -> str:
    return f"{LIST}{Rule.objects.get().pk}/backtests/"


def question(now: datetime, **changed: Any) -> dict[str, Any]:
    return {
        "version": "1",
        "compare_to": "",
        "since": f"{now - timedelta(days=1):%Y-%m-%d %H:%M}",
        "until": f"{now + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}",
        "start": "empty",
    } | changed


def run_jobs(now: datetime) -> None:
    for job_id in jobs.sweep_jobs(now=now):
        jobs.run_job(job_id, clock=lambda: now)


def test_acceptance_16_a_backtest_is_started_followed_and_read(
    client: Client, backtests: str, now: datetime
) -> None:
    begun = client.post(backtests, question(now))
    url = begun.headers["Location"]
    waiting = client.get(url)
    state = client.get(f"{url}state/").json()
    run_jobs(now)
    report = client.get(url)
    before = (Firing.objects.count(), Grant.objects.count())

    assert waiting.context["is_unfinished"]
    assert state == {"status": "Queued", "progress": 0.0, "is_over": False}
    assert client.get(f"{url}state/").json()["is_over"]
    text = text_of(report)
    assert "Firings 1 of 2 matches" in text
    assert "Limit of the day 1" in text
    assert [mark.height > 0 for mark in report.context["report"]["chart"].bars][-1]
    assert report.context["report"]["top"] == [("ana", 1, "5.5")]
    assert "profiles as of today" in text
    assert before == (1, 1)
    listed = client.get(backtests).context["lines"]
    assert [(line["status"], line["found"]) for line in listed] == [("done", "1 firing, cost 5.5")]


def test_a_backtest_is_compared_with_the_version_in_force(
    ops: AbstractUser, client: Client, backtests: str, now: datetime
) -> None:
    allow(ops, "change_rule")
    rule = Rule.objects.get()
    document = {**rule.versions.get().document, "limits": {}}
    client.post(
        f"{LIST}{rule.pk}/change/",
        {
            "use_json": "on",
            "document_json": json.dumps(document),
            "expected_version": "1",
            "trigger_type": "event",
            "group_mode": "all",
        },
    )
    offered = client.get(backtests).context["form"].initial

    begun = client.post(backtests, question(now, version="2", compare_to="1"))
    run_jobs(now)
    report = client.get(begun.headers["Location"]).context

    assert (offered["version"], offered["compare_to"]) == (2, 1)
    assert report["report"]["diff"]["rows"][0] == ("Firings", "1", "2", "+1")
    assert report["report"]["diff"]["changes"] == [("ana", 1, 2, "+1")]
    assert (report["report"]["diff"]["gaining"], report["report"]["diff"]["losing"]) == (1, 0)
    # A draft was never published, so its result cannot be given.
    assert not report["may_apply"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"version": "9"}, "version"),
        ({"compare_to": "1"}, "compare_to"),
        ({"since": "soon"}, "since"),
        ({"since": "2030-01-01 00:00"}, "until"),
        ({"start": "now"}, "start"),
    ],
)
def test_what_cannot_be_tested_is_not_started(
    client: Client, backtests: str, now: datetime, changed: dict[str, str], field: str
) -> None:
    answer = client.post(backtests, question(now, **changed))

    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert not Job.objects.exists()


def test_a_result_is_given_after_a_look_at_it(
    client: Client, backtests: str, now: datetime
) -> None:
    url = client.post(backtests, question(now)).headers["Location"]
    early = client.post(f"{url}apply/", {"confirmed": "1", "reason": "x"}, follow=True)
    run_jobs(now)

    asked = client.get(f"{url}apply/")
    before = Job.objects.filter(kind="rule_apply_past").count()
    done = client.post(f"{url}apply/", {"confirmed": "1", "reason": "Make up"}, follow=True)

    assert messages_of(early) == ["The backtest is not done."]
    assert "Give to 1 players" in text_of(asked)
    assert "5.5 EUR" in text_of(asked)
    assert before == 0
    job = Job.objects.get(kind="rule_apply_past")
    assert job.parameters["reason"] == "Make up"
    assert messages_of(done) == ["A job gives it now, to those for whom the rule never fired."]


def test_who_may_only_look_starts_no_backtest(
    ops: AbstractUser, played: Tenant, now: datetime
) -> None:
    allow(ops, "view_rule")
    client = signed_in(ops)
    url = f"{LIST}{Rule.objects.get().pk}/backtests/"

    assert "Run the backtest" not in text_of(client.get(url))
    assert client.post(url, question(now)).status_code == 403
    assert not Job.objects.exists()


def test_a_backtest_of_another_rule_or_tenant_is_not_found(
    client: Client, backtests: str, now: datetime, tenant_b: Tenant
) -> None:
    currency(tenant_b)
    theirs = active(tenant_b, rule_id="theirs")
    other = active(Tenant.objects.get(pk="tenant-a"), rule_id="other")
    job_id = client.post(backtests, question(now)).headers["Location"].split("/")[-2]

    for rule in (theirs, other):
        for page in ("", "state/", "apply/"):
            url = f"{LIST}{rule.pk}/backtests/{job_id}/{page}"
            assert client.get(url).status_code == 404, url
    assert client.get(f"{LIST}{theirs.pk}/backtests/").status_code == 404


# --- The front page ------------------------------------------------------------------------------


def test_the_front_page_counts_rewards(
    client: Client, played: Tenant, tenant_b: Tenant, now: datetime
) -> None:
    Grant.objects.update(status="failed")
    currency(tenant_b)
    active(tenant_b)
    Job.objects.create(tenant=played, kind="backtest")

    found = client.get("/admin/dashboard.json").json()["rewards"]

    tiles = {tile["label"]: (tile["value"], tile["hint"]) for tile in found["tiles"]}
    assert tiles == {
        "Active rules": ("1", "None paused, no draft"),
        "Firings": ("1", "1 today (UTC)"),
        "Refusals today": ("1", "limit day 1"),
        "Failed grants": ("1", "1 open job in the background"),
        "Ledger proof": ("-", "Not proven yet"),
    }
    assert found["as_of"]


def test_numbers_of_rewards_are_kept_for_some_seconds(played: Tenant, now: datetime) -> None:
    first = rewards_activity(None, now=now)
    Rule.objects.update(status="paused")

    kept = rewards_activity(None, now=now)
    cache.clear()
    again = rewards_activity(frozenset({"tenant-a"}), now=now)

    assert first.rules == kept.rules == {"active": 1}
    assert again.rules == {"paused": 1}
    assert rewards_activity(frozenset(), now=now).firings_today == 0


def test_rewards_are_on_the_front_page_of_those_who_may_see_rules(
    ops: AbstractUser, played: Tenant
) -> None:
    assert signed_in(ops).get("/admin/dashboard.json").json()["rewards"] is None


def test_a_report_counts_what_money_in_items_costs(
    client: Client, tenant_a: Tenant, now: datetime
) -> None:
    currency(tenant_a, unit_cost=Decimal("0.01"))
    purse = item(
        tenant_a, "Purse", reward_type="currency", payload={"currency_id": "gold", "amount": 50}
    )
    made = active(tenant_a, effects=[grant(purse)], now=now - timedelta(hours=1))
    send(tenant_a, at=now, received_at=now)

    url = client.post(f"{LIST}{made.pk}/backtests/", question(now)).headers["Location"]
    run_jobs(now)
    report = client.get(url).context["report"]

    assert report["items"] == [("Purse", 1, "0.5")]
    assert report["tiles"][2]["value"] == "0.5"
