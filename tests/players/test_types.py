from datetime import UTC, datetime, timedelta

import pytest

from phoenix_site.common.ids import uuid7
from players.types import PlayerFacts

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def facts(**known: object) -> PlayerFacts:
    return PlayerFacts(uuid7(), "tenant-a", "ana", **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "blocked_from"),
    [
        ({}, set()),
        ({"status": "inactive"}, set()),
        ({"is_opted_out": True}, set()),
        ({"status": "closed"}, {"rewards", "leaderboards"}),
        ({"status": "blocked"}, {"rewards", "leaderboards"}),
        ({"status": "self_excluded"}, {"rewards", "leaderboards"}),
        ({"ban_scopes": frozenset({"all"})}, {"rewards", "leaderboards"}),
        ({"ban_scopes": frozenset({"rewards", "messages"})}, {"rewards"}),
    ],
)
def test_bans_and_the_account_keep_a_player_out(
    known: dict[str, object], blocked_from: set[str]
) -> None:
    found = {scope for scope in ("rewards", "leaderboards") if facts(**known).is_blocked(scope)}

    assert found == blocked_from


def test_an_instant_has_the_zone_in_which_the_player_lived_then() -> None:
    moved = facts(
        timezone="Asia/Tokyo",
        tenant_timezone="Europe/Malta",
        zone_changes=[(NOON, "Europe/Stockholm"), (NOON + HOUR, "Asia/Tokyo")],
    )

    assert moved.zone_at(NOON - HOUR) == "Europe/Malta"
    assert moved.zone_at(NOON) == "Europe/Stockholm"
    assert moved.zone_at(NOON + HOUR - timedelta(microseconds=1)) == "Europe/Stockholm"
    assert moved.zone_at(NOON + HOUR) == "Asia/Tokyo"
    assert facts(timezone="Europe/Malta").zone_at(NOON) == "Europe/Malta"
