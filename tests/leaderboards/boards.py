"""Boards, windows and entries for tests, made without the services that make them in life."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from leaderboards.models import BoardVersion, Entry, Leaderboard, StatusChange, Window, WindowShard
from leaderboards.types import IndexedWindow, IndexEntry, RankedEntry, ShardChanges
from phoenix_site.common.ids import new_id
from tenants.models import Tenant

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
WEEK = timedelta(days=7)


def board_config(**parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole config; ``parts`` overrides keys of ``timeframe``, ``scoring`` and so on."""
    config: dict[str, Any] = {
        "scope": {"filters": None},
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
    for name, part in parts.items():
        config[name] = config[name] | dict(part)
    return config


def make_board(
    tenant: Tenant, *, leaderboard_id: str | None = None, **parts: Mapping[str, Any]
) -> Leaderboard:
    """Make an active board with its first version."""
    config = board_config(**parts)
    name = leaderboard_id or f"b-{new_id()}"
    board = Leaderboard.objects.create(
        tenant=tenant, leaderboard_id=name, name="Experience", config=config
    )
    document = {"name": "Experience", "description": "", "reward_config_id": None, "config": config}
    BoardVersion.objects.create(board=board, version=1, document=document, created_at=MONDAY)
    StatusChange.objects.create(board=board, status="active", at=datetime(2000, 1, 1, tzinfo=UTC))
    return board


def make_window(
    board: Leaderboard, starts_at: datetime = MONDAY, length: timedelta = WEEK
) -> Window:
    """Make an open window of a board."""
    ends_at = starts_at + length
    return Window.objects.create(
        board=board,
        tenant_id=board.tenant_id,
        key=f"{starts_at:%Y-%m-%d}",
        starts_at=starts_at,
        ends_at=ends_at,
        due_at=ends_at + timedelta(seconds=300),
        version_number=1,
    )


def put_entries(window: Window, entries: Iterable[RankedEntry], *, shard: int = 0) -> ShardChanges:
    """Write entries as a batch of ``shard`` does; return what its index lacks now."""
    row, _ = WindowShard.objects.get_or_create(window=window, shard=shard)
    chosen = list(entries)
    WindowShard.objects.filter(pk=row.pk).update(version=row.version + 1)
    for entry in chosen:
        Entry.objects.update_or_create(
            window=window,
            user_id=entry.external_id,
            defaults={
                "tenant_id": window.tenant_id,
                "shard": shard,
                "score": entry.score,
                "reached_at": entry.reached_at,
                "event_count": 1,
                "total": entry.score,
                "last_occurred_at": entry.reached_at,
                "last_xid": 1,
                "last_event": 1,
                "change": row.version + 1,
            },
        )
    return ShardChanges(
        indexed_window(window),
        shard,
        row.version,
        row.version + 1,
        [IndexEntry(entry.external_id, entry.reached_at, entry.score) for entry in chosen],
    )


def indexed_window(window: Window) -> IndexedWindow:
    ranking = window.board.versions.get(version=window.version_number).document["config"]["ranking"]
    return IndexedWindow(
        UUID(str(window.pk)), window.generation, ranking["method"], ranking["tie_policy"]
    )
