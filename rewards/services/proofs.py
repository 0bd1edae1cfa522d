"""Prove a tenant's ledger (LED-9): what is stored follows from the postings, and nothing is open.

One statement sees one state of the database, so traffic beside it makes no difference. Nothing is
repaired. Each outcome is a row whose hash covers the one before.
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from ingestion.services.log import append_events
from ingestion.types import EventInput
from phoenix_site.common.logging import get_logger
from phoenix_site.common.times import format_utc_microseconds
from rewards.models import Job, Proof
from rewards.services.jobs import JobRun, enqueue
from tenants.models import Tenant

__all__ = ["JOB", "enqueue_due_proofs_across_tenants", "hash_proof", "prove", "run_job"]

log = get_logger(__name__)

JOB: Final = "proof"
MAX_SHOWN: Final = 100
NIGHT_HOUR: Final = 2
_FORMAT: Final = "phoenix-proof-v1"
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

# Every difference as (check, currency, subject, expected, actual).
_CHECKS: Final = """
WITH own AS MATERIALIZED (
    SELECT id, currency_id, kind, player_id, balance, lifetime_earned, has_lots
    FROM rewards_account WHERE tenant_id = %(tenant)s
), entry AS MATERIALIZED (
    SELECT id, kind, reverses_id, idempotency_key FROM rewards_ledgertransaction
    WHERE tenant_id = %(tenant)s
), line AS MATERIALIZED (
    SELECT posting.transaction_id, posting.account_id, posting.amount
    FROM rewards_posting AS posting
    WHERE posting.account_id IN (SELECT id FROM own)
), held_by_account AS (
    SELECT account_id, count(*) AS lines, sum(amount) AS total FROM line GROUP BY account_id
), earned AS (
    SELECT line.account_id, sum(line.amount) AS total
    FROM line
    JOIN own ON own.id = line.account_id AND own.kind = 'wallet'
    JOIN entry ON entry.id = line.transaction_id
    LEFT JOIN entry AS origin ON origin.id = entry.reverses_id
    WHERE coalesce(origin.kind, entry.kind) IN ('credit', 'prize')
    GROUP BY line.account_id
), lots AS (
    SELECT lot.account_id, sum(lot.remaining) AS total FROM rewards_lot AS lot
    WHERE lot.account_id IN (SELECT id FROM own WHERE has_lots) GROUP BY lot.account_id
), holds AS (
    SELECT player_id, currency_id, sum(amount - captured - released) AS total FROM rewards_hold
    WHERE tenant_id = %(tenant)s AND status = 'open' GROUP BY player_id, currency_id
), per_transaction AS (
    SELECT line.transaction_id, own.currency_id, sum(line.amount) AS total
    FROM line JOIN own ON own.id = line.account_id
    GROUP BY line.transaction_id, own.currency_id
), moved AS (
    SELECT firing.id, effect ->> 'currency_id' AS currency, effect ->> 'transaction_id' AS entry_id
    FROM rewards_firing AS firing, jsonb_array_elements(firing.effects) AS effect
    WHERE firing.tenant_id = %(tenant)s AND effect ->> 'type' IN ('credit', 'debit')
        AND coalesce((effect ->> 'amount')::numeric, 0) <> 0
), difference AS (
    SELECT 'sum' AS subject_kind, own.currency_id::text AS currency, '' AS subject, '0' AS expected,
        sum(held_by_account.total)::text AS actual
    FROM own JOIN held_by_account ON held_by_account.account_id = own.id
    GROUP BY own.currency_id HAVING sum(held_by_account.total) <> 0
    UNION ALL
    SELECT 'transaction', currency_id::text, transaction_id::text, '0', total::text
    FROM per_transaction WHERE total <> 0
    UNION ALL
    SELECT 'postings', '', entry.id::text, '2', '0'
    FROM entry WHERE NOT EXISTS (SELECT FROM line WHERE line.transaction_id = entry.id)
    UNION ALL
    SELECT 'balance', own.currency_id::text, own.id::text,
        coalesce(held_by_account.total, 0)::text, own.balance::text
    FROM own LEFT JOIN held_by_account ON held_by_account.account_id = own.id
    WHERE own.kind IN ('wallet', 'held', 'prize_pool')
        AND own.balance <> coalesce(held_by_account.total, 0)
    UNION ALL
    SELECT 'lifetime', own.currency_id::text, own.id::text, coalesce(earned.total, 0)::text,
        own.lifetime_earned::text
    FROM own LEFT JOIN earned ON earned.account_id = own.id
    WHERE own.kind = 'wallet' AND own.lifetime_earned <> coalesce(earned.total, 0)
    UNION ALL
    SELECT 'lots', own.currency_id::text, own.id::text, own.balance::text,
        coalesce(lots.total, 0)::text
    FROM own LEFT JOIN lots ON lots.account_id = own.id
    WHERE own.has_lots AND own.balance <> coalesce(lots.total, 0)
    UNION ALL
    SELECT 'held', coalesce(own.currency_id, holds.currency_id)::text,
        coalesce(own.player_id, holds.player_id)::text, coalesce(holds.total, 0)::text,
        coalesce(own.balance, 0)::text
    FROM (SELECT * FROM own WHERE kind = 'held') AS own
    FULL JOIN holds
        ON holds.player_id = own.player_id AND holds.currency_id = own.currency_id
    WHERE coalesce(own.balance, 0) <> coalesce(holds.total, 0)
    UNION ALL
    SELECT 'firing', coalesce(moved.currency, ''), moved.id::text, 'a transaction', 'none'
    FROM moved LEFT JOIN entry ON entry.id::text = moved.entry_id WHERE entry.id IS NULL
    UNION ALL
    SELECT 'grant', coalesce(given.snapshot -> 'payload' ->> 'currency_id', ''), given.id::text,
        'a transaction', 'none'
    FROM rewards_grant AS given
    LEFT JOIN entry ON entry.idempotency_key = 'grant:' || given.id
    WHERE given.tenant_id = %(tenant)s AND given.status = 'granted'
        AND given.snapshot ->> 'reward_type' IN ('currency', 'points') AND entry.id IS NULL
)
SELECT difference.subject_kind, coalesce(named.currency_id, difference.currency),
    difference.subject, difference.expected, difference.actual, count(*) OVER ()
FROM difference
LEFT JOIN rewards_currency AS named ON named.id::text = difference.currency
ORDER BY 1, 2, 3 LIMIT %(most)s
"""
_COUNTS: Final = """
SELECT currency.currency_id,
    count(DISTINCT posting.transaction_id), count(posting.id),
    count(DISTINCT account.id) FILTER (WHERE account.kind = 'wallet'),
    coalesce(-sum(posting.amount) FILTER (WHERE account.kind = 'issuer'), 0)
FROM rewards_currency AS currency
LEFT JOIN rewards_account AS account ON account.currency_id = currency.id
LEFT JOIN rewards_posting AS posting ON posting.account_id = account.id
WHERE currency.tenant_id = %(tenant)s
GROUP BY currency.currency_id ORDER BY currency.currency_id
"""


@transaction.atomic
def prove(tenant_id: str, now: datetime) -> Proof:
    """Compare everything that is stored of a tenant's money with its postings; keep the outcome.

    A difference is logged as an error and appended to the log as ``ledger.proof.failed``; staff
    see it on the dashboard until a later proof has none.
    Locks: other proofs of the tenant, and nothing that anybody else needs. Queries: 5.
    """
    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [f"rewards.proof:{tenant_id}"])
        cursor.execute(_CHECKS, {"tenant": tenant_id, "most": MAX_SHOWN})
        found = cursor.fetchall()
        cursor.execute(_COUNTS, {"tenant": tenant_id})
        counts = {row[0]: _counts(row[1:]) for row in cursor.fetchall()}
    names = ("check", "currency_id", "subject", "expected", "actual")
    differences = [dict(zip(names, row[:5], strict=True)) for row in found]
    previous = Proof.objects.filter(tenant=tenant_id).order_by("-number").first()
    proof = Proof(
        tenant_id=tenant_id,
        number=1 if previous is None else previous.number + 1,
        started_at=now,
        finished_at=now + timedelta(seconds=time.monotonic() - started),
        counts=counts,
        differences=differences,
        difference_count=found[0][5] if found else 0,
        previous_hash="" if previous is None else previous.hash,
    )
    proof.hash = hash_proof(proof)
    proof.save()
    _tell(proof)
    if proof.difference_count:
        append_events([_alert(proof)])
    return proof


@transaction.atomic
def enqueue_due_proofs_across_tenants(now: datetime) -> int:
    """Enqueue a proof for each tenant that has none since last night; return how many.

    Repeats: safe, a proof that waits or runs is not asked for again. Locks: other calls of this.
    """
    night = now.astimezone(UTC).replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    since = night if night <= now else night - timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, ["rewards.proofs"])
    proven = Proof.objects.filter(tenant=OuterRef("pk"), started_at__gte=since)
    waiting = Job.objects.filter(
        tenant=OuterRef("pk"), kind=JOB, status__in=[Job.Status.QUEUED, Job.Status.RUNNING]
    )
    # One that failed tonight is there to be seen, not to be begun again for ever.
    failed = Job.objects.filter(tenant=OuterRef("pk"), kind=JOB, created_at__gte=since)
    due = Tenant.objects.exclude(Exists(proven)).exclude(Exists(waiting)).exclude(Exists(failed))
    ids = list(due.order_by("pk").values_list("pk", flat=True))
    for tenant_id in ids:
        enqueue(tenant_id, JOB, {}, "nightly", now)
    return len(ids)


def run_job(run: JobRun) -> Mapping[str, Any]:
    """Prove the ledger of the job's tenant; the job's result names the proof."""
    proof = prove(run.tenant_id, run.clock())
    return {
        "proof_id": str(proof.pk),
        "number": proof.number,
        "difference_count": proof.difference_count,
        "hash": proof.hash,
    }


def hash_proof(proof: Proof) -> str:
    """Return the hash that a proof must have: SHA-256 over lines that anybody can write again.

    The name of the format, tenant, number, start, end, counts and differences as JSON with sorted
    keys and no spaces, the whole number of differences, the hash before; each ends in a line feed.
    """
    lines: Sequence[object] = (
        _FORMAT,
        proof.tenant_id,
        proof.number,
        format_utc_microseconds(proof.started_at),
        format_utc_microseconds(proof.finished_at),
        _canonical(proof.counts),
        _canonical(proof.differences),
        proof.difference_count,
        proof.previous_hash or "-",
    )
    return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _counts(row: Sequence[Any]) -> dict[str, Any]:
    transactions, postings, wallets, circulating = row
    return {
        "transactions": transactions,
        "postings": postings,
        "wallets": wallets,
        "circulating": f"{circulating.normalize():f}",
    }


def _alert(proof: Proof) -> EventInput:
    return EventInput(
        tenant_id=proof.tenant_id,
        event_id=f"ledger.proof.failed:{proof.pk}",
        type="ledger.proof.failed",
        occurred_at=proof.finished_at,
        attrs={
            "proof_id": str(proof.pk),
            "number": proof.number,
            "differences": proof.difference_count,
        },
    )


def _tell(proof: Proof) -> None:
    facts = {"tenant_id": proof.tenant_id, "number": proof.number}
    if proof.difference_count:
        first = proof.differences[0]
        log.error(
            "ledger.proof_failed",
            differences=proof.difference_count,
            check=first["check"],
            subject=first["subject"],
            **facts,
        )
    else:
        log.info("ledger.proved", **facts)
