"""Scoring in SQL alone: read a batch, upsert its sums into the boards, commit; no rank index."""

import multiprocessing
import time
from typing import Any

import psycopg

from ingestion.constants import BATCH_SIZE, N_SHARDS

TABLE = "bench_entry"
WORKERS = 2
TYPE = "bench.scored"
SCORE = f"""
WITH batch AS MATERIALIZED (
  SELECT xid, id, user_id, occurred_at, (attrs ->> 'score_delta')::bigint AS points
  FROM ingestion_event
  WHERE shard = %(shard)s AND (xid, id) > (%(xid)s::text::xid8, %(id)s) AND type = '{TYPE}'
  ORDER BY xid, id LIMIT %(limit)s
), grouped AS (
  SELECT user_id, sum(points) AS points, count(*) AS events, max(occurred_at) AS reached_at,
         max(id) AS last_event
  FROM batch GROUP BY user_id
), stored AS (
  INSERT INTO {TABLE} AS entry (window_id, user_id, shard, score, reached_at, event_count,
                                total, last_occurred_at, last_xid, last_event, has_points,
                                change, tenant_id)
  SELECT board.id, user_id, %(shard)s, points, reached_at, events, points, reached_at, 1,
         last_event, true, 1, 'test-tenant'
  FROM grouped CROSS JOIN (
    SELECT md5(n::text)::uuid AS id FROM generate_series(1, %(boards)s) AS n
  ) AS board
  ORDER BY board.id, user_id
  ON CONFLICT (window_id, user_id) DO UPDATE SET
    score = entry.score + excluded.score, total = entry.total + excluded.total,
    event_count = entry.event_count + excluded.event_count, reached_at = excluded.reached_at,
    last_event = excluded.last_event, change = excluded.change
)
SELECT count(*), max(xid)::text, (array_agg(id ORDER BY xid DESC, id DESC))[1] FROM batch
"""


def measure(url: str, *, boards: int) -> float:
    """Return events per second of ``WORKERS`` connections over the events of the log."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        connection.execute(f"CREATE TABLE {TABLE} (LIKE leaderboards_entry INCLUDING ALL)")
    context = multiprocessing.get_context("fork")
    counts: Any = context.Array("q", WORKERS)

    def run(worker: int) -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
            for shard in range(worker, N_SHARDS, WORKERS):
                counts[worker] += _score_shard(connection, shard, boards)

    began = time.perf_counter()
    processes = [context.Process(target=run, args=(number,)) for number in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(counts) / (time.perf_counter() - began)


def _score_shard(connection: "psycopg.Connection[Any]", shard: int, boards: int) -> int:
    xid, last, total = "0", 0, 0
    while True:
        parameters = {
            "shard": shard,
            "xid": xid,
            "id": last,
            "limit": BATCH_SIZE,
            "boards": boards,
        }
        row = connection.execute(SCORE, parameters).fetchone()
        assert row is not None
        count, top_xid, top_id = row
        if not count:
            return total
        total, xid, last = total + count, top_xid, top_id
