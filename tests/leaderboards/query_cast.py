"""What the tests of the query gateway play with: a tenant's token, boards, windows, standings."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from leaderboards.models import (
    BoardVersion,
    Entry,
    FrozenStanding,
    Leaderboard,
    StatusChange,
    Window,
    WindowShard,
)
from leaderboards.rules import configuration, hashing, ranking
from leaderboards.services import index
from leaderboards.types import RankedEntry, Standing, StandingsHeader
from tenants.models import Tenant
from tenants.rules import foreign_tokens
from tenants.services import audit, credentials

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
WEEK = timedelta(days=7)
SHARD = 3


def new_tenant_secret(tenant: Tenant) -> str:
    secret = credentials.create_tenant_secret(
        tenant.pk, label="Game server", actor=audit.SYSTEM, now=datetime.now(UTC)
    )
    return secret.value


def player_token(tenant: Tenant, secret: str, user_id: str = "ana", **claims: Any) -> str:
    now = int(time.time())
    payload = {
        "sub": user_id,
        "sub_type": "tenant",
        "sub_id": tenant.pk,
        "iat": now,
        "exp": now + 3600,
    } | claims
    return foreign_tokens.sign_token({k: v for k, v in payload.items() if v is not None}, secret)


def config(
    *, timeframe: Mapping[str, Any] | None = None, decimals: int = 0, **chosen: Any
) -> dict[str, Any]:
    document = {
        "timeframe": dict(timeframe or {"type": "weekly"}),
        "scoring": {
            "rules": [{"event_type": "match.completed", "points_expression": "attrs.score"}],
            "decimals": decimals,
        },
        "ranking": chosen,
    }
    return configuration.normalized_document(configuration.parse_config(document))


def new_board(tenant: Tenant, leaderboard_id: str = "xp", **chosen: Any) -> Leaderboard:
    board = Leaderboard.objects.create(
        tenant=tenant,
        leaderboard_id=leaderboard_id,
        name="Weekly XP",
        description="All matches of a week.",
        config=config(**chosen),
    )
    document = {"name": board.name, "description": "", "config": board.config}
    BoardVersion.objects.create(board=board, version=1, document=document, created_at=NOW)
    StatusChange.objects.create(board=board, status="active", at=MONDAY - 4 * WEEK)
    return board


def new_window(
    board: Leaderboard,
    key: str = "2026-W47",
    *,
    starts_at: datetime = MONDAY,
    ends_at: datetime | None = MONDAY + WEEK,
    **more: Any,
) -> Window:
    return Window.objects.create(
        board=board,
        tenant=board.tenant,
        key=key,
        starts_at=starts_at,
        ends_at=ends_at,
        due_at=ends_at and ends_at + timedelta(minutes=5),
        version_number=1,
        **more,
    )


def fill(window: Window, scores: Mapping[str, int]) -> None:
    """Give players entries, reached one second after the other, and bring the index up to date."""
    version, _ = WindowShard.objects.get_or_create(window=window, shard=SHARD)
    version.version += 1
    version.save()
    base = window.entries.count()
    Entry.objects.bulk_create(
        Entry(
            window=window,
            tenant_id=window.tenant_id,
            user_id=user_id,
            shard=SHARD,
            score=score,
            reached_at=window.starts_at + timedelta(seconds=base + place),
            event_count=1,
            total=score,
            last_occurred_at=window.starts_at,
            last_xid=1,
            last_event=1,
            has_points=True,
            change=version.version,
        )
        for place, (user_id, score) in enumerate(scores.items())
    )
    index.rebuild_index(window.pk)


def close(window: Window, *, total_listed: int | None = None) -> Window:
    """Freeze a window as closing does, with its hash."""
    board = window.board
    config = configuration.parse_config(board.config)
    entries = [
        RankedEntry(entry.user_id, entry.score, entry.reached_at) for entry in window.entries.all()
    ]
    standings = ranking.rank(entries, config.ranking.method, config.ranking.tie_policy)
    FrozenStanding.objects.bulk_create(
        _frozen(window, place, standing) for place, standing in enumerate(standings, start=1)
    )
    assert window.ends_at is not None
    window.state = Window.State.CLOSED
    window.revision = 1
    window.closed_at = window.ends_at + timedelta(minutes=5)
    window.total_players = len(standings)
    window.entry_count = total_listed or len(standings)
    window.hash = hashing.hash_standings(
        StandingsHeader(
            board.tenant_id,
            board.leaderboard_id,
            window.key,
            window.starts_at,
            window.ends_at,
            window.version_number,
            config.scoring.decimals,
            1,
            window.previous_hash or None,
        ),
        standings,
    )
    window.save()
    return window


def _frozen(window: Window, place: int, standing: Standing) -> FrozenStanding:
    return FrozenStanding(
        window=window,
        revision=1,
        place=place,
        rank=standing.rank,
        user_id=standing.external_id,
        score=standing.score,
        reached_at=standing.reached_at,
    )
