"""The questions of ``selectors.standings`` as single statements, for when the index cannot answer.

Every question stands here twice, with the same columns: over the entries of a window that is
still scored, and over the frozen standings of a closed one. ``key`` is the score with the sign
that makes smaller better, as in the index. One statement sees one instant of the database, so
the sequence belongs to the rows.
"""

from typing import Final

__all__ = ["FROZEN", "LIVE", "VERSIONS"]

VERSIONS: Final = """
SELECT w.generation, s.shard, s.version
FROM leaderboards_window w LEFT JOIN leaderboards_windowshard s ON s.window_id = w.id
WHERE w.id = %(window)s
"""

_RANKED: Final = """(
    SELECT user_id, score * %(sign)s AS key, reached_at FROM leaderboards_entry
    WHERE window_id = %(window)s AND score * %(sign)s BETWEEN %(low)s AND %(high)s
)"""
_RANKED_FROZEN: Final = """(
    SELECT user_id, score * %(sign)s AS key, reached_at FROM leaderboards_frozenstanding
    WHERE window_id = %(window)s AND revision = %(revision)s
)"""
_RANK: Final = """
    CASE %(policy)s WHEN 'first_to_reach' THEN {place} WHEN 'shared' THEN {shared} ELSE {dense} END
"""

_STATE: Final = """
    'db' || w.generation AS epoch,
    (SELECT coalesce(sum(s.version), 0)::bigint FROM leaderboards_windowshard s
     WHERE s.window_id = w.id) AS sequence
"""
_HEADER_FROZEN: Final = """
header AS (
    SELECT 'r' || w.revision AS epoch, 0::bigint AS sequence, w.total_players,
        w.entry_count AS total
    FROM leaderboards_window w WHERE w.id = %(window)s
)"""
_HEADER: Final = f"""
header AS (
    SELECT {_STATE}, c.total_players, least(c.total_players, %(size)s) AS total
    FROM leaderboards_window w, (SELECT count(*) AS total_players FROM {_RANKED} r) c
    WHERE w.id = %(window)s
)"""  # noqa: S608 - here and below: the parts are constants of this module

# All ranked entries with place and rank. Frozen ones are looked up by index, live ones sorted.
_PLACED_FROZEN: Final = """
placed AS NOT MATERIALIZED (
    SELECT user_id, score, reached_at, place, rank FROM leaderboards_frozenstanding
    WHERE window_id = %(window)s AND revision = %(revision)s
)"""
_PLACED: Final = f"""
placed AS MATERIALIZED (
    SELECT user_id, key * %(sign)s AS score, reached_at, place,
        {_RANK.format(place="place", shared="shared", dense="dense")} AS rank
    FROM (
        SELECT r.*, row_number() OVER (ORDER BY key, reached_at, user_id) AS place,
            rank() OVER (ORDER BY key) AS shared, dense_rank() OVER (ORDER BY key) AS dense
        FROM {_RANKED} r
    ) ordered
)"""  # noqa: S608

_TOTALS: Final = """
WITH {header} SELECT epoch, sequence, total_players, total FROM header
"""

_PAGE_COLUMNS: Final = """
    h.epoch, h.sequence, h.total_players, h.total, %(offset)s::bigint,
    p.rank, p.user_id, p.score, p.reached_at
"""
_TOP_FROZEN: Final = f"""
WITH {_HEADER_FROZEN}, {_PLACED_FROZEN}
SELECT {_PAGE_COLUMNS}
FROM header h LEFT JOIN placed p
    ON p.place > %(offset)s AND p.place <= least(%(offset)s + %(limit)s, h.total)
ORDER BY p.place
"""  # noqa: S608
# Those who tie with the page's first entry may stand before the page, too.
_RANK_IN_PAGE: Final = _RANK.format(
    place="%(offset)s + place",
    shared="CASE shared WHEN 1 THEN better + 1 ELSE %(offset)s + shared END",
    dense="better_scores + dense",
)
# Only the page is sorted whole: what stands before it is counted.
_TOP: Final = f"""
WITH page AS (
    SELECT key, reached_at, user_id FROM {_RANKED} r ORDER BY key, reached_at, user_id
    OFFSET %(offset)s LIMIT greatest(least(%(limit)s, %(size)s - %(offset)s), 0)
), counts AS (
    SELECT count(*) AS total_players, count(*) FILTER (WHERE r.key < best.key) AS better,
        count(DISTINCT r.key) FILTER (WHERE r.key < best.key) AS better_scores
    FROM {_RANKED} r CROSS JOIN (SELECT min(key) AS key FROM page) best
), header AS (
    SELECT {_STATE}, c.*, least(c.total_players, %(size)s) AS total
    FROM leaderboards_window w, counts c WHERE w.id = %(window)s
), placed AS (
    SELECT user_id, key * %(sign)s AS score, reached_at,
        row_number() OVER (ORDER BY key, reached_at, user_id) AS place,
        rank() OVER (ORDER BY key) AS shared, dense_rank() OVER (ORDER BY key) AS dense
    FROM page
), p AS (
    SELECT placed.*, {_RANK_IN_PAGE} AS rank FROM placed CROSS JOIN counts
)
SELECT {_PAGE_COLUMNS} FROM header h LEFT JOIN p ON true ORDER BY p.place
"""  # noqa: S608

_RANK_OF_OWN: Final = _RANK.format(
    place="c.better + c.earlier + 1", shared="c.better + 1", dense="c.better_scores + 1"
)
_RANK_OF_NEXT: Final = _RANK.format(
    place="c.better + c.earlier",
    shared=f"(SELECT count(*) + 1 FROM {_RANKED} r WHERE r.key < next_better.key)",  # noqa: S608
    dense="c.better_scores",
)
# The entry of a player who is not ranked is shown without place and rank.
_OWN: Final = """
own AS (
    SELECT * FROM (
        SELECT user_id, score, reached_at, place, rank FROM placed WHERE user_id = %(player)s
        UNION ALL
        SELECT user_id, score, reached_at, NULL, NULL FROM leaderboards_entry
        WHERE window_id = %(window)s AND user_id = %(player)s
    ) both_ways ORDER BY place NULLS LAST LIMIT 1
)"""
_AROUND_OWN: Final = """
next_better AS (
    SELECT p.* FROM placed p JOIN own ON p.place < own.place AND p.rank < own.rank
    ORDER BY p.place DESC LIMIT 1
), next_worse AS (
    SELECT p.place FROM placed p JOIN own ON p.place > own.place AND p.rank > own.rank
    ORDER BY p.place LIMIT 1
)"""
_STANDING_COLUMNS: Final = """
    h.epoch, h.sequence, h.total_players, h.total,
    own.user_id, own.score, own.reached_at, own.rank,
    coalesce(h.total_players - next_worse.place + 1, 0),
    next_better.rank, next_better.user_id, next_better.score, next_better.reached_at
"""
_STANDING_FROM: Final = """
    header h LEFT JOIN own ON true LEFT JOIN next_better ON true LEFT JOIN next_worse ON true
"""
_STANDING_FROZEN: Final = f"""
WITH {_HEADER_FROZEN}, {_PLACED_FROZEN}, {_OWN}, {_AROUND_OWN}
SELECT {_STANDING_COLUMNS} FROM {_STANDING_FROM}
"""  # noqa: S608
# The question asked most often: counted in two passes, where placing everybody is a long sort.
_STANDING: Final = f"""
WITH own AS (
    SELECT user_id, score, score * %(sign)s AS key, reached_at,
        score * %(sign)s BETWEEN %(low)s AND %(high)s AS is_ranked
    FROM leaderboards_entry WHERE window_id = %(window)s AND user_id = %(player)s
), counts AS (
    SELECT count(*) AS total_players,
        count(*) FILTER (WHERE r.key < own.key) AS better,
        count(*) FILTER (
            WHERE r.key = own.key AND (r.reached_at, r.user_id) < (own.reached_at, own.user_id)
        ) AS earlier,
        count(*) FILTER (WHERE r.key > own.key) AS worse,
        count(DISTINCT r.key) FILTER (WHERE %(policy)s = 'dense' AND r.key < own.key)
            AS better_scores
    FROM {_RANKED} r LEFT JOIN own ON own.is_ranked
), next_better AS (
    SELECT r.user_id, r.key, r.reached_at FROM {_RANKED} r JOIN own ON own.is_ranked
    WHERE r.key < own.key OR (
        %(policy)s = 'first_to_reach' AND r.key = own.key
        AND (r.reached_at, r.user_id) < (own.reached_at, own.user_id)
    )
    ORDER BY r.key DESC, r.reached_at DESC, r.user_id DESC LIMIT 1
)
SELECT {_STATE}, c.total_players, least(c.total_players, %(size)s),
    own.user_id, own.score, own.reached_at,
    CASE WHEN own.is_ranked THEN {_RANK_OF_OWN} END,
    CASE %(policy)s WHEN 'first_to_reach' THEN c.total_players - c.better - c.earlier - 1
        ELSE c.worse END,
    CASE WHEN next_better.user_id IS NOT NULL THEN {_RANK_OF_NEXT} END,
    next_better.user_id, next_better.key * %(sign)s, next_better.reached_at
FROM leaderboards_window w CROSS JOIN counts c
    LEFT JOIN own ON true LEFT JOIN next_better ON true
WHERE w.id = %(window)s
"""  # noqa: S608
_NEIGHBORHOOD: Final = f"""
WITH {{header}}, {{placed}}, {_OWN}, {_AROUND_OWN}, slice AS (
    SELECT greatest(least(own.place - 1 - (%(limit)s - 1) / 2, h.total_players - %(limit)s), 0)
        AS first
    FROM header h JOIN own ON own.place IS NOT NULL
)
SELECT {_STANDING_COLUMNS}, slice.first, p.rank, p.user_id, p.score, p.reached_at
FROM {_STANDING_FROM} LEFT JOIN slice ON true
    LEFT JOIN placed p ON p.place > slice.first AND p.place <= slice.first + %(limit)s
ORDER BY p.place
"""  # noqa: S608

_PLAYERS: Final = """
WITH {header}, {placed}, found AS (
    SELECT user_id, score, reached_at, place, rank FROM placed WHERE user_id = ANY(%(players)s)
), unranked AS (
    SELECT user_id, score, reached_at, NULL::bigint, NULL::bigint FROM leaderboards_entry e
    WHERE window_id = %(window)s AND user_id = ANY(%(players)s)
        AND NOT EXISTS (SELECT FROM found WHERE found.user_id = e.user_id)
)
SELECT h.epoch, h.sequence, h.total_players, h.total, p.user_id, p.score, p.reached_at, p.rank
FROM header h LEFT JOIN (SELECT * FROM found UNION ALL SELECT * FROM unranked) p ON true
ORDER BY p.place NULLS LAST, p.user_id
"""

_RANK_FOR_SCORE: Final = """
WITH {header}, others AS (SELECT key FROM {ranked} r WHERE user_id <> %(player)s)
SELECT h.epoch, h.sequence, h.total_players, h.total, c.* FROM header h, (
    SELECT count(*) FILTER (WHERE key < %(key)s),
        count(DISTINCT key) FILTER (WHERE key < %(key)s),
        count(*) FILTER (WHERE key = %(key)s)
    FROM others
) c
"""

LIVE: Final = {
    "totals": _TOTALS.format(header=_HEADER),
    "top": _TOP,
    "standing": _STANDING,
    "neighborhood": _NEIGHBORHOOD.format(header=_HEADER, placed=_PLACED),
    "players": _PLAYERS.format(header=_HEADER, placed=_PLACED),
    "rank_for_score": _RANK_FOR_SCORE.format(header=_HEADER, ranked=_RANKED),
}
FROZEN: Final = {
    "totals": _TOTALS.format(header=_HEADER_FROZEN),
    "top": _TOP_FROZEN,
    "standing": _STANDING_FROZEN,
    "neighborhood": _NEIGHBORHOOD.format(header=_HEADER_FROZEN, placed=_PLACED_FROZEN),
    "players": _PLAYERS.format(header=_HEADER_FROZEN, placed=_PLACED_FROZEN),
    "rank_for_score": _RANK_FOR_SCORE.format(header=_HEADER_FROZEN, ranked=_RANKED_FROZEN),
}
