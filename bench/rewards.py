"""The promises of rewards (spec 03 section 14): rules, postings, redemptions, backtests, reads."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg

from bench import load, rewards_ceiling
from bench.phases import Bench, Row
from bench.traffic import PLAYERS

KIND = "bench.rewarded"
RULES = 100
BATCH = 2000
BACKTEST_EVENTS = 1_000_000
BACKTEST_SECONDS = 120
JOB_SECONDS = 600
POSTINGS = 100_000


class Admin:
    """The admin gateway as the sandbox's API key."""

    def __init__(self, sandbox: dict[str, Any]) -> None:
        self.base = f"{sandbox['base_url']}/v1/tenants/{sandbox['tenant_id']}/"
        self.key = sandbox["admin_api_key"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's JSON. Raises: ``RuntimeError`` with the refusal."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.base + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"X-API-Key": self.key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise RuntimeError(f"{method} {path}: {refusal.read().decode()}") from refusal

    def finished(self, job_id: str) -> dict[str, Any]:
        """Wait for a job and return it. Raises: ``RuntimeError`` unless it is done."""
        ends = time.monotonic() + JOB_SECONDS
        while time.monotonic() < ends:
            job: dict[str, Any] = self.call("GET", f"jobs/{job_id}")
            if job["status"] in ("done", "failed", "cancelled"):
                break
            time.sleep(0.2)
        if job["status"] != "done":
            raise RuntimeError(f"The job is {job}")
        return job


def rules(bench: Bench) -> Iterator[Row]:
    """P-1: one worker, 100 active rules of which 3 match every event."""
    admin = Admin(bench.sandbox)
    _make_rules(admin)
    bench.drain()
    with bench.consumers_paused():
        bulks = bench.traffic.bulks(KIND)
        load.closed(bench.host, bench.port, bulks, connections=8, seconds=bench.seconds)
        done = _run(bench, "bench.rule_worker")
    events, seconds = done["events"], done["seconds"]
    rate = events / seconds
    copied = rewards_ceiling.copy_rows(bench.url, batches=max(1, events // BATCH))
    ceiling = events / copied
    yield Row(f"events judged by {RULES} rules, 3 matching", events, "events")
    yield Row(
        "P-1 rule consumer, one worker, over its bare rows",
        rate,
        "events/s",
        ceiling,
        rate / ceiling,
        "≥ 5000",
        rate >= 5000,
    )
    bench.drain()


def _make_rules(admin: Admin) -> None:
    item = admin.call(
        "POST",
        "reward-items",
        {"name": "Bench badge", "reward_type": "badge", "payload": {"badge_id": "b", "tier": ""}},
    )
    one = {"type": "fixed", "amount": 1}
    matching: list[dict[str, Any]] = [
        {
            "rule_id": "bench-earning",
            "kind": "earning",
            "effects": [{"type": "credit", "currency_id": "xp", "amount": one}],
        },
        {
            "rule_id": "bench-daily",
            "effects": [{"type": "grant", "item_id": item["item_id"]}],
            "limits": {"per_player": {"day": 1}},
        },
        {
            "rule_id": "bench-budget",
            "effects": [{"type": "credit", "currency_id": "gold", "amount": one}],
            "conditions": {"op": "gte", "field": "attrs.score_delta", "value": 1},
            "limits": {"budget": {"firings": 1000}},
        },
    ]
    others: list[dict[str, Any]] = [
        {
            "rule_id": f"bench-other-{number}",
            "effects": [{"type": "credit", "currency_id": "xp", "amount": one}],
            "conditions": {"op": "eq", "field": "attrs.source", "value": f"other-{number}"},
        }
        for number in range(RULES - len(matching))
    ]
    for rule in matching + others:
        document = {"name": rule["rule_id"], "trigger": {"type": "event", "names": [KIND]}, **rule}
        admin.call("POST", "rules", document)
        admin.call("POST", f"rules/{rule['rule_id']}/activate", {"reason": "bench"})


def _run(bench: Bench, module: str, *arguments: str) -> dict[str, float]:
    """Run a module of the bench beside Phoenix and return the figures that it prints."""
    servers = json.loads((bench.phoenix.data_dir / "servers.json").read_text())
    environment = {
        **os.environ,
        **{name: servers[name] for name in ("DATABASE_URL", "REDIS_URL")},
        "PHOENIX_DATA_DIR": str(bench.phoenix.data_dir),
    }
    done = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", module, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def postings(bench: Bench) -> Iterator[Row]:
    """P-3: postings of the consumer's sets, and grants by staff one at a time."""
    done = _run(bench, "bench.posting_worker", str(POSTINGS), bench.sandbox["tenant_id"])
    rate = done["postings"] / done["seconds"]
    ceiling = rewards_ceiling.postings(bench.url, count=POSTINGS)
    yield Row(
        "P-3 set-wise postings, over bare inserts of them",
        rate,
        "rows/s",
        ceiling,
        rate / ceiling,
        "≥ 10000",
        rate >= 10_000,
    )
    admin = Admin(bench.sandbox)
    path = admin.base.removeprefix(bench.sandbox["base_url"]) + "wallet/grant"

    def make(connection: int) -> Iterator[bytes]:
        for number in count():
            body = json.dumps(
                {
                    "user_id": f"user-{(connection * 7919 + number) % PLAYERS}",
                    "currency_id": "gold",
                    "amount": 1,
                    "reason": "bench",
                }
            ).encode()
            yield _with_key("POST", path, admin.key, body)

    single = load.closed(bench.host, bench.port, make, connections=16, seconds=bench.seconds)
    value = single.per_second
    yield Row("P-3 single admin grants", value, "grants/s", wanted="≥ 300", kept=value >= 300)


def redeeming(bench: Bench) -> Iterator[Row]:
    """P-4: 50 callers redeem one hot coupon."""
    admin = Admin(bench.sandbox)
    gold = {"currency_id": "gold", "amount": 5}
    item = admin.call(
        "POST", "reward-items", {"name": "Hot gold", "reward_type": "currency", "payload": gold}
    )
    code = f"HOT{bench.traffic.run.upper()}"
    admin.call(
        "POST",
        "coupons",
        {
            "name": "Hot coupon",
            "config": {
                "reward_item_id": item["item_id"],
                "code_format": "custom",
                "custom_code": code,
                "usage_limit": [
                    {"limit_type": "total", "max_uses": 1_000_000},
                    {"limit_type": "per_user", "max_uses": 1},
                ],
            },
        },
    )

    def make(connection: int) -> Iterator[bytes]:
        for number in count():
            token = bench.traffic.token_of(f"redeemer-{connection}-{number}")
            yield load.http_request("POST", f"/v1/coupons/redeem/{code}", token=token, body=b"{}")

    found = load.closed(bench.host, bench.port, make, connections=50, seconds=bench.seconds)
    rate, worst = found.per_second, found.percentile(0.99) * 1000
    yield Row(
        "P-4 redeem one hot coupon, 50 callers", rate, "codes/s", wanted="≥ 300", kept=rate >= 300
    )
    yield Row("P-4 p99", worst, "ms", wanted="≤ 400 ms", kept=worst <= 400)
    bad = sum(number for status, number in found.statuses.items() if not 200 <= status < 300)
    yield Row("redemptions refused", float(bad), "answers")


def reading(bench: Bench) -> Iterator[Row]:
    """P-5: balances, achievements and streaks of changing players at 200 requests a second."""
    admin = Admin(bench.sandbox)
    for number in range(10):
        admin.call(
            "POST",
            "achievements",
            {
                "name": f"Bench {number}",
                "criteria": {"type": "count", "event_types": [KIND], "threshold": 5 + number},
            },
        )
    for number in range(3):
        admin.call(
            "POST",
            "streaks",
            {
                "name": f"Bench {number} {bench.traffic.run}",
                "config": {
                    "event_types": [KIND],
                    "window": {"type": "calendar", "period": "daily", "timezone": "UTC"},
                    "condition": {"type": "count", "min": 1},
                },
            },
        )
    bulks = bench.traffic.bulks(KIND)
    load.closed(bench.host, bench.port, bulks, connections=4, seconds=min(1.0, bench.seconds))
    bench.drain("rewards.rules")
    for name, path in (
        ("wallet balances", "/v1/wallet/balances"),
        ("achievements list", "/v1/achievements/user/{player}"),
        ("streak list", "/v1/streaks/user/{player}"),
    ):
        found = load.paced(
            bench.host, bench.port, _reads(bench, path), rate=200, seconds=bench.seconds
        )
        value = found.percentile(0.99) * 1000
        yield Row(f"P-5 {name} at 200/s, p99", value, "ms", wanted="≤ 60 ms", kept=value <= 60)
        bad = sum(number for status, number in found.statuses.items() if status != 200)
        if bad:
            yield Row(f"{name}: answers other than 200", float(bad), "answers", kept=False)


def _reads(bench: Bench, path: str) -> Any:
    def make(connection: int) -> Iterator[bytes]:
        for number in count():
            player = f"user-{(connection * 7919 + number * 31) % PLAYERS}"
            token = bench.traffic.token_of(player)
            yield load.http_request("GET", path.format(player=player), token=token)

    return make


def backtest(bench: Bench) -> Iterator[Row]:
    """P-6: one rule over a million stored events."""
    admin = Admin(bench.sandbox)
    stored = _store_history(bench)
    version = admin.call("GET", "rules/bench-budget")["version"]
    began = time.perf_counter()
    queued = admin.call(
        "POST",
        "rules/bench-budget/backtests",
        {
            "version": version,
            "from": "2026-01-01T00:00:00Z",
            "to": "2027-01-01T00:00:00Z",
            "start": "empty",
        },
    )
    result = admin.finished(queued["job_id"])["result"]
    seconds = time.perf_counter() - began
    read = int(result["events_read"])
    per_million = seconds * BACKTEST_EVENTS / max(read, 1)
    with psycopg.connect(bench.url) as connection:
        scan_began = time.perf_counter()
        with connection.cursor("events") as cursor:
            cursor.itersize = 5000
            cursor.execute(
                "SELECT event_id, user_id, attrs, occurred_at, received_at FROM ingestion_event"
                " WHERE tenant_id = %s AND type = %s",
                (bench.sandbox["tenant_id"], KIND),
            )
            scanned = sum(1 for _row in cursor)
        scan_rate = scanned / (time.perf_counter() - scan_began)
    yield Row("events of the type in the log", float(stored), "events")
    yield Row(
        "P-6 backtest, over merely reading the events",
        read / seconds,
        "events/s",
        scan_rate,
        read / seconds / scan_rate,
    )
    yield Row(
        "P-6 backtest of one rule, a million events",
        per_million,
        "s",
        wanted=f"≤ {BACKTEST_SECONDS} s",
        kept=per_million <= BACKTEST_SECONDS,
    )


def _store_history(bench: Bench) -> int:
    """Fill the log up to a million events of the type, and let every consumer pass them."""
    present = int(
        bench.sql(
            "SELECT count(*) FROM ingestion_event WHERE tenant_id = %s AND type = %s",
            bench.sandbox["tenant_id"],
            KIND,
        )[0][0]
    )
    if present < BACKTEST_EVENTS:
        with bench.consumers_paused():
            bench.sql(
                _HISTORY, bench.sandbox["tenant_id"], KIND, PLAYERS, BACKTEST_EVENTS - present
            )
            bench.sql(_GO_PAST)
    return max(present, BACKTEST_EVENTS)


_HISTORY = """
INSERT INTO ingestion_event (tenant_id, event_id, type, user_id, metadata, attrs, occurred_at,
    received_at, source, content_hash, shard, depth)
SELECT %s, 'history-' || n, %s, 'user-' || (n %% %s), '{}',
    jsonb_build_object('score_delta', n %% 97, 'source', 'bench'), now() - n * interval '1 second',
    now() - n * interval '1 second', 'api', decode(md5(n::text), 'hex'), n %% 8, 0
FROM generate_series(1, %s) AS n
"""
_GO_PAST = """
UPDATE ingestion_cursor SET last_xid = pg_snapshot_xmax(pg_current_snapshot()), last_id = 0
"""


def _with_key(method: str, path: str, key: str, body: bytes) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
