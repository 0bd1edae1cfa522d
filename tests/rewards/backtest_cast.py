"""Known events, and jobs run over them, for the tests of backtests."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.services.store import store_rows
from rewards.models import Job
from rewards.services import backtests, jobs, past
from tenants.models import Tenant
from tenants.services.audit import SYSTEM
from tests.ingestion.factories import log_row

FIRST = datetime(2026, 3, 2, 6, tzinfo=UTC)
LAST = FIRST + timedelta(days=5)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PERIOD = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-07T00:00:00Z"}


def bet(tenant: Tenant, user_id: str, amount: int, at: datetime = FIRST, *, id_: str = "") -> str:
    """Store one event and return its id."""
    event_id = id_ or f"bet-{user_id}-{amount}-{at:%d%H%M%S}"
    store_rows(
        [
            log_row(
                event_id,
                tenant_id=tenant.pk,
                user_id=user_id,
                attrs={"bet": amount},
                occurred_at=at,
            )
        ]
    )
    return event_id


def store_known_events(tenant: Tenant, numbers: Iterable[int] = range(1000)) -> None:
    """Store 1 000 events, 250 a day: each 100 bet 0 to 99, twenty in turn by p0 to p4."""
    rows = [
        log_row(
            f"known-{number:04}",
            tenant_id=tenant.pk,
            user_id=f"p{number % 100 // 20}",
            attrs={"bet": number % 100},
            occurred_at=FIRST + timedelta(days=number // 250, seconds=number % 250),
        )
        for number in numbers
    ]
    store_rows(rows)


def start(tenant: Tenant, rule_id: str = "big-win", **asked: Any) -> Job:
    document = {"version": 1, **PERIOD, **asked}
    return backtests.start_backtest(tenant.pk, rule_id, document, actor=SYSTEM, now=NOW)


def work(job: Job, *, now: datetime = NOW) -> Job:
    """Let a worker do the job."""
    jobs.run_job(job.pk, clock=lambda: now)
    return Job.objects.get(pk=job.pk)


def backtest(tenant: Tenant, rule_id: str = "big-win", **asked: Any) -> dict[str, Any]:
    done = work(start(tenant, rule_id, **asked))
    assert (done.status, done.error) == ("done", None)
    report: dict[str, Any] = done.result
    return report


def order(tenant: Tenant, report: dict[str, Any], rule_id: str = "big-win", **changes: Any) -> Job:
    document = {
        "version": report["version"],
        "backtest_id": report["backtest_id"],
        "result_hash": report["result_hash"],
        **changes,
    }
    return past.apply_to_past(tenant.pk, rule_id, document, actor=SYSTEM, now=NOW)
