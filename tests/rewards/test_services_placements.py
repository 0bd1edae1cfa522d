"""What boards pay: from closed windows, once, and corrected by later revisions (GRT-3)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from ingestion.models import Event
from ingestion.types import Source, StoredEvent
from leaderboards.rules.configuration import parse_config
from leaderboards.services import boards, closing, windows
from players.models import Player
from players.services import bans
from rewards.models import Grant, RewardConfig
from rewards.services.pipe import settling
from rewards.services.placements import PlacementDesk
from rewards.types.causes import Cause
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.leaderboards.boards import make_board
from tests.leaderboards.log import Sent, score_all, send
from tests.rewards import rule_log
from tests.rewards.grant_cast import badge, item_document, new_config, new_currency, new_item, tier
from tests.rewards.ledger_cast import balance_of, debit, player_of

DAY_1 = datetime(2024, 11, 18, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GRACE = timedelta(seconds=300)
CLOSED_AT = DAY_1 + DAY + GRACE


def given() -> list[tuple[str, str, str]]:
    """Return (player, item, status) of every grant, in order."""
    rows = Grant.objects.select_related("player").order_by("player__external_id", "pk")
    return [(each.player.external_id, each.snapshot["name"], each.status) for each in rows]


@pytest.mark.django_db(transaction=True)
def test_acceptance_19_a_closed_window_pays_its_places_once(tenant_a: Tenant) -> None:
    first, second = new_item(tenant_a, badge("A")), new_item(tenant_a, badge("B"))
    config = new_config(tenant_a, tier(1, 1, first), tier(2, 3, second))
    timeframe = {"type": "daily", "reset_day": None}
    board = make_board(tenant_a, leaderboard_id=None, timeframe=timeframe)
    boards.patch_board(
        tenant_a.pk,
        board.leaderboard_id,
        {"reward_config_id": config.id_text},
        actor=SYSTEM,
        now=DAY_1,
    )
    windows.open_windows(board, parse_config(board.config), until=DAY_1, now=DAY_1)
    players = {"ana": 9, "ben": 8, "cid": 7, "dan": 6}
    send(tenant_a.pk, [Sent(name, points, DAY_1) for name, points in players.items()])
    score_all(now=DAY_1 + HOUR)

    for _time in range(2):
        for pk in windows.sweep_windows(now=CLOSED_AT):
            closing.close_due_windows(pk, now=CLOSED_AT)
        closing.close_due_windows(board.pk, now=CLOSED_AT)
        rule_log.process(now=CLOSED_AT + HOUR)

    assert given() == [
        ("ana", "A", "granted"),
        ("ben", "B", "granted"),
        ("cid", "B", "granted"),
    ]
    paid = Grant.objects.get(player__external_id="ben")
    assert paid.source_type == "leaderboard"
    assert paid.source_id == f"{board.leaderboard_id}:2024-11-18"
    assert (paid.context["window_key"], paid.context["rank"]) == ("2024-11-18", 2)
    assert Event.objects.filter(type="reward.granted").count() == 3


@transaction.atomic
def place(
    tenant: Tenant,
    config: RewardConfig | None,
    user_id: str = "ana",
    *,
    source: Source = "internal",
    **changes: Any,
) -> None:
    """Pay the event of a closed window, as the consumer does."""
    attrs = {
        "leaderboard_id": "xp",
        "window_key": "2024-11-18",
        "rank": 1,
        "score": 9,
        "total_players": 3,
        "revision": 1,
        "reward_config_id": None if config is None else config.id_text,
    } | changes
    event = StoredEvent(
        id=1,
        xid=1,
        shard=0,
        tenant_id=tenant.pk,
        event_id=f"placed:{attrs['window_key']}:{attrs['revision']}:{user_id}",
        type="leaderboard.placed",
        user_id=user_id,
        metadata={},
        attrs=attrs,
        occurred_at=CLOSED_AT,
        received_at=CLOSED_AT,
        source=source,
        cause=None,
        depth=1,
    )
    cause = Cause(
        tenant_id=tenant.pk,
        source_type="event",
        source_id=event.event_id,
        kind="event",
        id=event.event_id,
        event_id=event.event_id,
        depth=1,
        occurred_at=CLOSED_AT,
    )
    player_id = player_of(tenant, user_id)
    with settling([player_id], now=CLOSED_AT + HOUR) as settlement:
        desk = settlement.part(PlacementDesk)
        desk.prepare([(event, player_id)])
        desk.feed(event, player_id, cause)


@pytest.mark.django_db
def test_a_shared_rank_pays_everybody_on_it(tenant_a: Tenant) -> None:
    config = new_config(tenant_a, tier(1, 2, new_item(tenant_a, badge("A"))))

    for name in ("ana", "ben", "cid"):
        place(tenant_a, config, name, rank=2)

    assert [name for name, _, _ in given()] == ["ana", "ben", "cid"]


@pytest.mark.django_db
def test_the_same_revision_pays_once_and_another_window_again(tenant_a: Tenant) -> None:
    config = new_config(tenant_a, tier(1, 1, new_item(tenant_a, badge("A"))))

    place(tenant_a, config)
    place(tenant_a, config)
    place(tenant_a, config, window_key="2024-11-19")

    assert [each.source_id for each in Grant.objects.order_by("pk")] == [
        "xp:2024-11-18",
        "xp:2024-11-19",
    ]


@pytest.mark.django_db
def test_a_later_revision_takes_what_no_longer_holds_and_gives_what_is_new(
    tenant_a: Tenant,
) -> None:
    gold = new_currency(tenant_a)
    money, cup, star = (
        new_item(tenant_a),
        new_item(tenant_a, badge("Cup")),
        new_item(tenant_a, badge("Star")),
    )
    config = new_config(tenant_a, tier(1, 1, money, cup), tier(2, 2, cup, star))

    place(tenant_a, config, rank=1)
    ana = Player.objects.get().pk
    assert balance_of(ana, gold) == 500
    place(tenant_a, config, rank=2, revision=2)

    assert given() == [
        ("ana", "500 gold", "revoked"),
        ("ana", "Cup", "granted"),
        ("ana", "Star", "granted"),
    ]
    assert balance_of(ana, gold) == 0

    place(tenant_a, config, rank=2, revision=2)
    place(tenant_a, config, rank=1, revision=1)
    assert len(given()) == 3

    place(tenant_a, config, rank=1, revision=3)
    assert given()[3:] == [("ana", "500 gold", "granted")]
    assert given()[2] == ("ana", "Star", "revoked")
    assert balance_of(ana, gold) == 500


@pytest.mark.django_db
def test_a_revision_takes_back_what_the_player_still_has(tenant_a: Tenant) -> None:
    gold = new_currency(tenant_a)
    config = new_config(tenant_a, tier(1, 1, new_item(tenant_a)))
    place(tenant_a, config, rank=1)
    ana = Player.objects.get().pk
    debit(ana, gold, 400, now=CLOSED_AT + HOUR)

    place(tenant_a, config, rank=2, revision=2)

    assert balance_of(ana, gold) == 0
    assert Grant.objects.get().context["shortfall"] == 400


@pytest.mark.django_db
def test_what_expired_or_staff_took_back_is_not_paid_by_a_revision(tenant_a: Tenant) -> None:
    waiting = new_item(tenant_a, badge("A", claim="player", claim_within_s=60))
    config = new_config(tenant_a, tier(1, 2, waiting))
    place(tenant_a, config, "ana")
    place(tenant_a, config, "ben")
    Grant.objects.filter(player__external_id="ana").update(status="expired")
    Grant.objects.filter(player__external_id="ben").update(status="revoked")

    place(tenant_a, config, "ana", revision=2)
    place(tenant_a, config, "ben", revision=2, rank=2)

    assert given() == [("ana", "A", "expired"), ("ben", "A", "revoked")]


@pytest.mark.django_db
def test_nobody_is_paid_by_a_config_that_is_none_of_the_tenant_s_boards(
    tenant_a: Tenant, tenant_b: Tenant
) -> None:
    theirs = new_config(tenant_b, tier(1, 1, new_item(tenant_b, badge("A"))))
    streak = new_config(
        tenant_a,
        {"milestone": 1, "item_ids": [new_item(tenant_a, badge("B")).id_text]},
        config_type="streak",
    )

    place(tenant_a, theirs)
    place(tenant_a, streak, window_key="2024-11-19")
    place(tenant_a, None, window_key="2024-11-20")

    assert given() == []


@pytest.mark.django_db
def test_only_phoenix_itself_places_players(tenant_a: Tenant) -> None:
    config = new_config(tenant_a, tier(1, 1, new_item(tenant_a, badge("A"))))

    place(tenant_a, config, source="api")

    assert given() == []


@pytest.mark.django_db
def test_a_player_who_is_banned_is_paid_nothing(tenant_a: Tenant) -> None:
    config = new_config(tenant_a, tier(1, 1, new_item(tenant_a, badge("A"))))
    bans.ban(
        player_of(tenant_a),
        scopes=["all"],
        reason="x",
        until=None,
        actor=SYSTEM,
        now=CLOSED_AT,
    )

    place(tenant_a, config)

    assert given() == []


@pytest.mark.django_db
def test_an_item_to_be_claimed_waits_for_its_player(tenant_a: Tenant) -> None:
    gold = new_currency(tenant_a)
    config = new_config(tenant_a, tier(1, 1, new_item(tenant_a, item_document(claim="player"))))

    place(tenant_a, config)

    assert given() == [("ana", "500 gold", "unclaimed")]
    assert balance_of(Player.objects.get().pk, gold) == 0
