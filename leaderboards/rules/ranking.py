"""Ranking: the one order of a board, ranks under each tie policy, and the index that keeps it.

The order is score (by method), then earlier ``reached_at``, then the external id's UTF-8 bytes.
Scores are scaled integers throughout.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from leaderboards.constants import MAX_SCALED_SCORE
from leaderboards.types import Method, RankedEntry, Ranking, Standing, TiePolicy

__all__ = [
    "IndexMember",
    "Page",
    "ScoreBounds",
    "decode_member",
    "index_member",
    "index_score",
    "neighborhood_page",
    "percentile",
    "points_needed",
    "rank",
    "rank_for_score",
    "score_bounds",
    "sort_key",
    "top_percent",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_BYTES: Final = 8
_HUNDREDTHS: Final = 10_000  # of a whole


def sort_key(entry: RankedEntry, method: Method) -> tuple[int, datetime, bytes]:
    """Return a key that sorts entries best first."""
    return index_score(entry.score, method), entry.reached_at, entry.external_id.encode()


def rank(entries: Iterable[RankedEntry], method: Method, tie_policy: TiePolicy) -> list[Standing]:
    """Return all entries as standings, best first: what every faster way must agree with."""
    ordered = sorted(entries, key=lambda entry: sort_key(entry, method))
    standings: list[Standing] = []
    for place, entry in enumerate(ordered, start=1):
        last = standings[-1] if standings else None
        if last is None or tie_policy == "first_to_reach":
            number = place
        elif entry.score == last.score:
            number = last.rank
        else:
            number = last.rank + 1 if tie_policy == "dense" else place
        standings.append(Standing(number, entry.external_id, entry.score, entry.reached_at))
    return standings


@dataclass(frozen=True, slots=True)
class ScoreBounds:
    """The scaled scores that are ranked, both ends included."""

    lowest: int
    highest: int

    def hold(self, score: int) -> bool:
        """Whether an entry with this score is ranked."""
        return self.lowest <= score <= self.highest


def score_bounds(ranking: Ranking, decimals: int) -> ScoreBounds:
    """Return ``min_score`` and ``max_score`` scaled; without them every score is ranked."""
    lowest, highest = -MAX_SCALED_SCORE, MAX_SCALED_SCORE
    if ranking.min_score is not None:
        lowest = int(ranking.min_score.scaleb(decimals).to_integral_value(ROUND_CEILING))
    if ranking.max_score is not None:
        highest = int(ranking.max_score.scaleb(decimals).to_integral_value(ROUND_FLOOR))
    return ScoreBounds(lowest, highest)


def rank_for_score(
    tie_policy: TiePolicy, *, better_players: int, tied_players: int, better_scores: int
) -> int:
    """Return the rank that a score would take if it were reached now.

    ``better_players`` and ``better_scores`` count who and what is strictly better,
    ``tied_players`` who has this score already: they reached it first.
    """
    if tie_policy == "first_to_reach":
        return 1 + better_players + tied_players
    return 1 + (better_scores if tie_policy == "dense" else better_players)


def points_needed(score: int, next_score: int, method: Method) -> int:
    """Return the smallest change of ``score`` that overtakes an entry one place better.

    Scaled; negative under ``score_asc``. Reaching the same score is not enough: the other one
    reached it earlier.
    """
    step = 1 if method == "score_desc" else -1
    return next_score - score + step


def percentile(below: int, total_players: int) -> Decimal:
    """Return the share of the other players ranked strictly below, rounded down to hundredths."""
    if total_players <= 1:
        return Decimal(100)
    return Decimal(below * _HUNDREDTHS // (total_players - 1)) / 100


def top_percent(rank_number: int, total_players: int) -> Decimal:
    """Return rank ÷ players in percent, rounded up to hundredths."""
    return Decimal(-(-rank_number * _HUNDREDTHS // total_players)) / 100


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: the 0-based first position and the number of entries."""

    offset: int
    size: int


def neighborhood_page(position: int, *, limit: int, total: int) -> Page:
    """Return the page of ``limit`` entries around the 0-based ``position`` in a list of ``total``.

    The player is in the middle, (limit - 1) ÷ 2 above; at either end the page shifts so that it
    stays full, and it holds everybody if there are fewer.
    """
    size = min(limit, total)
    offset = position - (limit - 1) // 2
    return Page(max(0, min(offset, total - size)), size)


def index_score(score: int, method: Method) -> int:
    """Return the score under which an entry is filed: the smallest is the best.

    At most 15 digits, so a sorted set's float holds it exactly.
    """
    return -score if method == "score_desc" else score


def index_member(reached_at: datetime, external_id: str) -> bytes:
    """Return the member under which an entry is filed: among equal scores, bytes are in order.

    Eight big-endian bytes of microseconds since 1970, then the id in UTF-8.
    """
    since = reached_at - _EPOCH
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return microseconds.to_bytes(_TIME_BYTES, "big") + external_id.encode()


@dataclass(frozen=True, slots=True)
class IndexMember:
    """What ``index_member`` was made of."""

    reached_at: datetime
    external_id: str


def decode_member(member: bytes) -> IndexMember:
    """Return what ``member`` was made of."""
    microseconds = int.from_bytes(member[:_TIME_BYTES], "big")
    reached_at = _EPOCH + timedelta(microseconds=microseconds)
    return IndexMember(reached_at, member[_TIME_BYTES:].decode())
