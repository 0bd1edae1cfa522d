from dataclasses import replace
from hashlib import sha256

import pytest

from leaderboards.rules.hashing import hash_standings, standings_lines
from leaderboards.types import Standing, StandingsHeader
from phoenix_site.common.times import parse_rfc3339

HEADER = StandingsHeader(
    tenant_id="test-tenant",
    leaderboard_id="xp-weekly-global",
    window_key="2026-W47",
    starts_at=parse_rfc3339("2026-11-16T00:00:00Z"),
    ends_at=parse_rfc3339("2026-11-23T00:00:00Z"),
    config_version=3,
    decimals=0,
    revision=1,
)
STANDINGS = [
    Standing(1, "user-123", 950, parse_rfc3339("2026-11-18T09:15:42Z")),
    Standing(2, "user-456", 950, parse_rfc3339("2026-11-18T10:00:00.5Z")),
]


def test_the_printed_vector() -> None:
    text = "".join(standings_lines(HEADER, STANDINGS))

    assert len(text.encode()) == 209
    assert hash_standings(HEADER, STANDINGS) == (
        "80c94a652d5a5fe0a4051f0d8f6319a6328f2b3d388915489865b5869ea6668c"
    )


def test_scores_have_exactly_the_decimals_of_the_board() -> None:
    lines = list(standings_lines(replace(HEADER, decimals=2, previous_hash="ab12"), STANDINGS))

    assert lines[1].split("\t")[-3:] == ["2", "1", "ab12\n"]
    assert lines[2] == "1\tuser-123\t9.50\t2026-11-18T09:15:42.000000Z\n"


def test_a_window_without_players_has_a_hash() -> None:
    text = (
        "phoenix-standings-v1\n"
        "test-tenant\txp-weekly-global\t2026-W47\t2026-11-16T00:00:00.000000Z\t"
        "2026-11-23T00:00:00.000000Z\t3\t0\t1\t-\n"
    )

    assert hash_standings(HEADER, []) == sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "header",
    [
        replace(HEADER, tenant_id="other"),
        replace(HEADER, revision=2),
        replace(HEADER, config_version=4),
        replace(HEADER, previous_hash="00"),
    ],
)
def test_every_part_of_the_header_counts(header: StandingsHeader) -> None:
    assert hash_standings(header, STANDINGS) != hash_standings(HEADER, STANDINGS)


def test_the_order_of_the_standings_counts() -> None:
    assert hash_standings(HEADER, STANDINGS[::-1]) != hash_standings(HEADER, STANDINGS)
