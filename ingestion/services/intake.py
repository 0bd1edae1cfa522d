"""What both entrances do with the events of a request between reading and storing them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ingestion.rules.sharding import shard_of
from ingestion.rules.validation import check_event
from ingestion.types import (
    EventRules,
    Intake,
    ItemVerdict,
    LogRow,
    NormalizedEvent,
    Sender,
    StoreOutcome,
    Submission,
)
from phoenix_site.common import tallies
from tenants.types import TenantSettings


def check_events(submission: Submission, sender: Sender, *, now: datetime) -> Intake:
    """Check the events of a request and make rows of the valid ones.

    The tenant is the credential's, whatever the events say.
    """
    rules = event_rules(sender.tenant)
    has_escapes = submission.has_escapes
    checked = [
        check_event(item, rules, now=now, has_escapes=has_escapes) for item in submission.items
    ]
    return Intake(checked, [_row(each.event, sender) for each in checked if each.event is not None])


def event_rules(tenant: TenantSettings) -> EventRules:
    """Return what the tenant's settings say about its events."""
    return EventRules(
        tenant_id=tenant.id,
        accepts_older_shape=tenant.accepts_older_shape,
        max_future=timedelta(seconds=tenant.max_future_seconds),
        retention=timedelta(days=tenant.retention_days),
        max_event_bytes=tenant.max_event_bytes,
    )


def _row(event: NormalizedEvent, sender: Sender) -> LogRow:
    tenant_id = sender.tenant.id
    return LogRow(
        tenant_id,
        event.event_id,
        event.type,
        event.user_id,
        event.metadata,
        event.attrs,
        event.occurred_at,
        "api",
        sender.request_id,
        sender.credential_id,
        event.content_hash,
        shard_of(tenant_id, event.user_id),
        None,
        0,
    )


def item_verdicts(intake: Intake, outcomes: Sequence[StoreOutcome]) -> list[ItemVerdict]:
    """Return what became of each event of the request, in the order sent."""
    following = iter(outcomes)
    return [
        ItemVerdict(each, None if each.event is None else next(following))
        for each in intake.checked
    ]


def accepted_shards(intake: Intake, outcomes: Sequence[StoreOutcome]) -> set[int]:
    """Return the shards that have new events."""
    return {
        row.shard
        for row, outcome in zip(intake.rows, outcomes, strict=True)
        if outcome == "accepted"
    }


def count_verdicts(tenant_id: str, verdicts: Iterable[ItemVerdict]) -> None:
    """Count the outcomes, and the codes of what was refused, for the people who watch."""
    counts = Counter(_tally(verdict) for verdict in verdicts)
    for name, count in counts.items():
        tallies.add(tenant_id, name, count)


def _tally(verdict: ItemVerdict) -> str:
    if verdict.outcome is None:
        return "error.VAL_001"
    if isinstance(verdict.outcome, str):
        return "error.EVENT_CONFLICT" if verdict.outcome == "conflict" else _SEEN[verdict.outcome]
    return f"error.{verdict.outcome.code}"


_SEEN = {"accepted": "events.accepted", "duplicate": "events.duplicate"}
