"""What the machine can do without Phoenix: the other side of every ratio.

The tables have the columns and indexes of the real ones, in the same server with the same settings.
"""

import json
import multiprocessing
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

TABLE = "bench_event"
COLUMNS = (
    "tenant_id, event_id, type, user_id, metadata, attrs, occurred_at, source, request_id,"
    " credential_id, content_hash, shard"
)
ATTRS = json.dumps({"score_delta": 50, "source": "bench"})
PGBENCH_SCRIPT = f"""
\\set number random(1, 2000000000)
\\set user random(1, 100000)
INSERT INTO {TABLE} ({COLUMNS}) VALUES ('test-tenant', 'b' || :client_id || '-' || :number || '-'
  || clock_timestamp()::text, 'game.completed', 'user-' || :user, '{{}}', '{ATTRS}', now(), 'api',
  '01900000-0000-7000-8000-000000000000', NULL, '\\x{"00" * 16}', :user % 8);
"""


def prepare(url: str) -> None:
    """Make the empty copy of the log that the ceilings write to."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        connection.execute(f"CREATE TABLE {TABLE} (LIKE ingestion_event INCLUDING ALL)")


def find_pgbench() -> str | None:
    """Return PostgreSQL's own load generator, if the machine has it."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    return shutil.which("pgbench") or (str(packaged[-1]) if packaged else None)


def single_inserts(url: str, *, connections: int = 32, seconds: float = 8.0) -> tuple[float, str]:
    """Return rows per second of one-row inserts, each committed, and which client did it."""
    pgbench = find_pgbench()
    if pgbench is None:
        return _together(url, connections, seconds, _insert_one), "psycopg"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(PGBENCH_SCRIPT)
        script.flush()
        parts = conninfo_to_dict(url)
        command = [pgbench, "-n", "-M", "prepared", "-f", script.name]
        command += ["-c", str(connections), "-j", "2", "-T", str(int(seconds))]
        for option, name in (("-h", "host"), ("-p", "port"), ("-U", "user")):
            if parts.get(name):
                command += [option, str(parts[name])]
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*command, str(parts["dbname"])], capture_output=True, text=True, check=True
        )
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout + done.stderr)
    return float(found.group(1)), "pgbench"


def bulk_inserts(url: str, *, connections: int = 8, seconds: float = 8.0, size: int = 100) -> float:
    """Return rows per second of set-wise inserts of ``size`` rows, each set committed."""
    return size * _together(url, connections, seconds, _inserter_of(size))


Work = Callable[["psycopg.Connection[Any]", int, int], None]


def _insert_one(connection: "psycopg.Connection[Any]", worker: int, number: int) -> None:
    connection.execute(
        f"INSERT INTO {TABLE} ({COLUMNS}) VALUES (%b, %b, 'game.completed', %b, '{{}}',"
        f" '{ATTRS}', now(), 'api', NULL, NULL, '\\x{'00' * 16}', 1)",
        ("test-tenant", f"b{worker}-{number}", f"user-{number % 100_000}"),
    )


def _inserter_of(size: int) -> Work:
    statement = f"""
        INSERT INTO {TABLE} ({COLUMNS})
        SELECT 'test-tenant', event_id, 'game.completed', user_id, '{{}}', attrs::jsonb, now(), 'api',
               NULL, NULL, '\\x{"00" * 16}', shard
        FROM unnest(%b::text[], %b::text[], %b::text[], %b::int2[]) AS new (event_id, user_id, attrs, shard)
        ON CONFLICT (tenant_id, event_id) DO NOTHING
    """  # noqa: E501
    attrs, shards = [ATTRS] * size, [number % 8 for number in range(size)]

    def insert(connection: "psycopg.Connection[Any]", worker: int, number: int) -> None:
        ids = [f"c{worker}-{number}-{row}" for row in range(size)]
        users = [f"user-{(number * size + row) % 100_000}" for row in range(size)]
        connection.execute(statement, (ids, users, attrs, shards))

    return insert


def _together(url: str, connections: int, seconds: float, work: Work) -> float:
    """Return calls per second of ``connections`` processes that repeat ``work``."""
    context = multiprocessing.get_context("fork")
    counts: Any = context.Array("q", connections)

    def run(worker: int) -> None:
        offset = time.time_ns()
        with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
            ends = time.perf_counter() + seconds
            while time.perf_counter() < ends:
                work(connection, worker, offset + counts[worker])
                counts[worker] += 1

    processes = [context.Process(target=run, args=(number,)) for number in range(connections)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(counts) / seconds
