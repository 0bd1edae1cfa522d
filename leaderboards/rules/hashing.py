"""The hash of a closed window's standings, which anybody can compute again.

SHA-256 over UTF-8 lines that each end in a line feed, fields separated by a tab: a first line
that names the format, one line of header, then one line per ranked player.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

from leaderboards.rules.scores import format_scaled
from leaderboards.types import Standing, StandingsHeader
from phoenix_site.common.times import format_utc_microseconds

__all__ = ["hash_standings"]

FORMAT_NAME: Final = "phoenix-standings-v1"


def hash_standings(header: StandingsHeader, standings: Iterable[Standing]) -> str:
    """Return the lower-case hex hash; ``standings`` are all ranked players in order of place."""
    digest = sha256()
    for line in standings_lines(header, standings):
        digest.update(line.encode())
    return digest.hexdigest()


def standings_lines(header: StandingsHeader, standings: Iterable[Standing]) -> Iterator[str]:
    """Yield the lines that are hashed, each with its line feed."""
    yield f"{FORMAT_NAME}\n"
    yield _line(
        header.tenant_id,
        header.leaderboard_id,
        header.window_key,
        format_utc_microseconds(header.starts_at),
        "-" if header.ends_at is None else format_utc_microseconds(header.ends_at),
        header.config_version,
        header.decimals,
        header.revision,
        header.previous_hash or "-",
    )
    for standing in standings:
        yield _line(
            standing.rank,
            standing.external_id,
            format_scaled(standing.score, header.decimals),
            format_utc_microseconds(standing.reached_at),
        )


def _line(*fields: object) -> str:
    return "\t".join(map(str, fields)) + "\n"
