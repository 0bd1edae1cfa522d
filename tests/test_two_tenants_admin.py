"""Nothing of tenant B is found, changed or disclosed by staff of tenant A, on any admin page.

Ops has every permission there is and works for tenant A only. Every registered page is opened on
the objects of tenant B: list, search, filters, change, history, deletion, the page's own addresses,
its actions and its choices.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AbstractUser, Permission, User
from django.db.models import ForeignKey, Model
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from ingestion.models import Event, QuarantineEntry
from leaderboards.models import LateEvent, Leaderboard, Snapshot, Window
from leaderboards.services import boards
from players.models import Ban, Player, PlayerTag
from rewards.models import Grant
from tenants.models import AuditEntry, Credential, Delivery, Membership, Tenant
from tenants.services import audit
from tests.conftest import CLEO
from tests.ingestion import factories
from tests.leaderboards import query_cast
from tests.leaderboards.admin_cast import config
from tests.players.cast import new_player
from tests.rewards import achievement_cast, coupon_cast, ledger_cast, streak_cast
from tests.rewards import theirs as rewards
from tests.staff import board_form, signed_in
from tests.tenants import cast, delivery_cast

pytestmark = pytest.mark.django_db

# What only tenant B's objects are called; none of it may stand on a page of staff of A.
SECRETS = ("tenant-b", "Beta Games", "s league", "theirs", "cleo", "cleos-event", "b-boss")
# Pages of the whole installation: whoever has the permission runs it.
OF_THE_INSTALLATION = frozenset({"cursor"})
# What the pages that ask before they act are answered: enough for each of them to act.
AGREED = {
    "confirmed": "1",
    "reason": "x",
    "post": "yes",
    "scopes": "all",
    "name": "vip",
    "reasons": "x",
    "timezone": "Asia/Tokyo",
}
SEEN = frozenset({200, 302, 403, 404, 405})


@pytest.fixture
def their_objects(tenant_a: Tenant, tenant_b: Tenant) -> dict[type[Model], Model]:
    """Return one row of tenant B for each page that tenants own rows of."""
    now = timezone.now()
    tenant_b.name = "Beta Games"
    tenant_b.save()
    document = {"leaderboard_id": "theirs", "name": "Cleo's league", "config": config()}
    board = boards.create_board("tenant-b", document, actor=audit.SYSTEM, now=now)
    window = board.windows.get()
    query_cast.fill(window, {CLEO: 50})
    event = factories.append("cleos-event", tenant_id="tenant-b", user_id=CLEO)
    boss = User.objects.create_user("b-boss", is_staff=True)
    key = cast.new_key(tenant_b, owner_id="tenant-b")
    entry = AuditEntry.objects.filter(tenant=tenant_b).first()
    assert entry is not None
    return {
        **achievement_cast.begun_achievement(tenant_b, CLEO),
        **coupon_cast.redeemed_coupon(tenant_b, CLEO),
        **ledger_cast.filled_ledger(tenant_b, CLEO),
        **streak_cast.kept_streak(tenant_b, CLEO),
        **rewards.plain_rows(tenant_b, CLEO),
        Tenant: tenant_b,
        Membership: Membership.objects.create(user=boss, tenant=tenant_b),
        Credential: Credential.objects.get(pk=key.credential_id),
        AuditEntry: entry,
        Delivery: delivery_cast.owe("cleos-bonus", tenant_id="tenant-b", now=now),
        Event: event,
        QuarantineEntry: QuarantineEntry.objects.create(
            tenant=tenant_b, event=event, consumer="c", code="out_of_range", message="m"
        ),
        Player: new_player(CLEO, "tenant-b", email="cleo@example.com", country="SE"),
        Leaderboard: board,
        Window: window,
        Snapshot: Snapshot.objects.create(
            board=board,
            window=window,
            taken_at=now,
            entry_count=1,
            total_players=1,
            hash="ab" * 32,
            rows=[[1, CLEO, 50, "2026-11-18T09:15:42Z"]],
        ),
        LateEvent: LateEvent.objects.create(
            window=window,
            tenant=tenant_b,
            event_id="cleos-late-event",
            user_id=CLEO,
            occurred_at=now,
            received_at=now + timedelta(days=9),
        ),
    }


@pytest.fixture
def client(ops: AbstractUser, their_objects: dict[type[Model], Model]) -> Client:
    ops.user_permissions.set(Permission.objects.all())
    return signed_in(ops)


def pages() -> Iterator[tuple[type[Model], Any]]:
    yield from admin.site._registry.items()


def list_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def own_addresses(model: type[Model], page: Any, row: Model) -> set[str]:
    """Return every address of the page that takes a row, and those of its own that take none."""
    found = {f"{list_of(model)}{row.pk}/{name}/" for name in ("change", "history", "delete")}
    for pattern in page.get_urls():
        if pattern.name is None:
            continue
        for arguments in ([row.pk], []):
            try:
                found.add(reverse(f"admin:{pattern.name}", args=arguments))
            except NoReverseMatch:
                continue
    return found


def discloses(answer: Any) -> list[str]:
    text = (answer.content.decode() + answer.headers.get("Location", "")).lower()
    return [word for word in SECRETS if word.lower() in text]


def their_rows(their_objects: dict[type[Model], Model]) -> list[Any]:
    """Return every row of tenant B as the database has it."""
    rows = [
        list(model._default_manager.filter(pk=row.pk).values())
        for model, row in their_objects.items()
    ]
    around: list[Any] = [
        Leaderboard.objects.filter(tenant_id="tenant-b"),
        Player.objects.filter(tenant_id="tenant-b"),
        Ban.objects.filter(player__tenant_id="tenant-b"),
        PlayerTag.objects.filter(player__tenant_id="tenant-b"),
    ]
    return rows + [list(found.values()) for found in around]


# The names of the pages are known once Django has found them, so each test walks them all.


def test_every_page_that_tenants_own_rows_of_is_tried(
    their_objects: dict[type[Model], Model],
) -> None:
    owned = {
        model
        for model, _ in pages()
        if model is Tenant
        or any(
            isinstance(field, ForeignKey)
            and (field.related_model is Tenant or field.related_model in (Leaderboard, Window))
            for field in model._meta.get_fields()
        )
    }

    assert owned <= their_objects.keys()


def test_lists_show_nothing_of_b(client: Client, their_objects: dict[type[Model], Model]) -> None:
    for model, row in their_objects.items():
        for question in ({}, {"q": "league"}, {"q": str(row.pk)}, {"o": "1"}):
            answer = client.get(list_of(model), question)
            assert answer.status_code == 200, model
            if question.get("q") != str(row.pk):
                assert not discloses(answer), (model, question, discloses(answer))
            assert row not in list(answer.context["cl"].result_list), model


def test_pages_of_people_and_of_the_installation_show_nothing_of_b(client: Client) -> None:
    for model, _ in pages():
        answer = client.get(list_of(model))
        assert answer.status_code in (200, 403), model
        assert not discloses(answer), (model, discloses(answer))


def test_filters_lead_to_nothing_of_b(
    client: Client, their_objects: dict[type[Model], Model]
) -> None:
    window = their_objects[Window]
    assert isinstance(window, Window)
    relations = {
        "tenant": "tenant-b",
        "tenant__id__exact": "tenant-b",
        "tenants__id__exact": "tenant-b",
        "board__tenant__id__exact": "tenant-b",
        "board__id__exact": str(window.board_id),
        "window__id__exact": str(window.pk),
        "user__id__exact": "1",
        "name__startswith": "Cleo",
        "board__name__startswith": "Cleo",
        "window__board__name__startswith": "Cleo",
        "event__event_id__startswith": "cleo",
        "country": "se",
        "banned": "no",
        "is_opted_out__exact": "0",
    }
    for model, row in their_objects.items():
        for name, value in relations.items():
            answer = client.get(list_of(model), {name: value}, follow=True)
            assert answer.status_code in (200, 400), (model, name)
            if answer.status_code == 200 and "cl" in (answer.context or {}):
                assert row not in list(answer.context["cl"].result_list), (model, name)


def test_rows_of_b_cannot_be_opened_or_changed(
    client: Client, ops: AbstractUser, their_objects: dict[type[Model], Model]
) -> None:
    before = their_rows(their_objects)

    for model, row in their_objects.items():
        page = admin.site._registry[model]
        # Another session each: what is said about one page is shown on the next.
        client = signed_in(ops)
        for address in sorted(own_addresses(model, page, row)):
            for send in (client.get, client.post):
                sent = AGREED if send == client.post else {}
                answer = send(address, sent)
                where = f"{send.__name__} {address}: {answer.status_code}"
                assert answer.status_code in SEEN, where
                if str(row.pk) in address:
                    # Gone, refused, or back to the front page: as if the row were not there.
                    assert answer.status_code != 200, where
                    assert answer.headers.get("Location", "/admin/") in ("/admin/", list_of(model))
                assert not discloses(answer) or row.pk == "tenant-b", f"{where} {discloses(answer)}"

    assert their_rows(their_objects) == before


def test_actions_reach_nothing_of_b(
    client: Client, their_objects: dict[type[Model], Model], ops: Any
) -> None:
    before = their_rows(their_objects)

    request = RequestFactory().get("/admin/")
    request.user = ops
    for model, row in their_objects.items():
        for name in admin.site._registry[model].get_actions(request):
            for more in ({}, {"select_across": "1"}):
                sent = {
                    **AGREED,
                    "action": name,
                    "_selected_action": [str(row.pk)],
                    **more,
                }
                answer = client.post(list_of(model), sent, follow=True)
                assert answer.status_code in SEEN, (model, name)

    assert their_rows(their_objects) == before


def test_choices_offer_nothing_of_b(client: Client) -> None:
    for model, page in pages():
        for name in page.autocomplete_fields:
            sent = {
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name,
                "field_name": name,
            }
            for term in ("", "tenant-b", "cleo", "theirs"):
                answer = client.get(reverse("admin:autocomplete"), sent | {"term": term})
                assert not discloses(answer), (model, name, term)
        answer = client.get(f"{list_of(model)}add/")
        assert answer.status_code in SEEN
        if model.__name__.lower() not in OF_THE_INSTALLATION:
            assert not discloses(answer), (model, discloses(answer))


def test_a_board_is_not_made_for_b(client: Client) -> None:
    for tenant_id in ("tenant-b", "no-such-tenant"):
        answer = client.post("/admin/leaderboards/leaderboard/add/", board_form(tenant=tenant_id))

        errors = answer.context["adminform"].form.errors
        assert errors["tenant"] == [
            "Select a valid choice. That choice is not one of the available choices."
        ]
    assert Leaderboard.objects.filter(tenant_id="tenant-a").count() == 0
    assert Leaderboard.objects.filter(tenant_id="tenant-b").count() == 1


def test_a_player_is_not_made_for_b(client: Client) -> None:
    answer = client.post(
        "/admin/players/player/add/", {"tenant": "tenant-b", "external_id": "mole"}
    )

    assert "tenant" in answer.context["adminform"].form.errors
    assert not Player.objects.filter(external_id="mole").exists()


def test_the_front_page_and_the_search_show_nothing_of_b(client: Client) -> None:
    for address in ("/admin/", "/admin/dashboard.json", "/admin/search/?s=league&extended=1"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert not discloses(answer), (address, discloses(answer))


def test_the_board_form_tries_no_event_of_b(
    client: Client, their_objects: dict[type[Model], Model]
) -> None:
    board = their_objects[Leaderboard]
    root = "/admin/leaderboards/leaderboard/"

    foreign = client.post(f"{root}meaning/", board_form(tenant="tenant-b"))
    of_board = client.post(f"{root}{board.pk}/meaning/", board_form())

    assert foreign.json()["trial"]["rows"] == []
    assert not discloses(foreign)
    assert of_board.status_code == 404


def test_why_explains_nothing_of_b(client: Client, their_objects: dict[type[Model], Model]) -> None:
    page = "/admin/rewards/rule/why/"
    names: list[dict[str, Any]] = [
        {"tenant": "tenant-b", "player": CLEO},
        {"tenant": "tenant-b", "event": "cleos-event"},
        {"tenant": "tenant-a", "event": "cleos-event"},
        {"tenant": "tenant-a", "player": CLEO},
        {"grant": their_objects[Grant].pk},
    ]

    for asked in names:
        answer = client.get(page, asked)
        assert answer.status_code == 200
        # What was asked stands in the form again; nothing that is theirs does.
        assert not answer.context["outcomes"]
        assert not answer.context["steps"]
        assert not answer.context["events"]
        assert answer.context["event_text"] == ""
    assert client.get("/admin/rewards/rule/library/", {"tenant": "tenant-b"}).status_code == 404
