"""What both entrances do with the events of a request between reading and storing them."""

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
    rules = event_rules(sender.tenant, now=now)
    has_escapes = submission.has_escapes
    checked = [check_event(item, rules, has_escapes=has_escapes) for item in submission.items]
    return Intake(checked, [_row(each.event, sender) for each in checked if each.event is not None])


def event_rules(tenant: TenantSettings, *, now: datetime) -> EventRules:
    """Return what the tenant's settings say about events that are received ``now``."""
    return EventRules(
        tenant_id=tenant.id,
        accepts_older_shape=tenant.accepts_older_shape,
        max_future_seconds=tenant.max_future_seconds,
        retention_days=tenant.retention_days,
        max_event_bytes=tenant.max_event_bytes,
        earliest=now - timedelta(days=tenant.retention_days),
        latest=now + timedelta(seconds=tenant.max_future_seconds),
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
    counts: dict[str, int] = {}
    for verdict in verdicts:
        name = _tally(verdict.outcome)
        counts[name] = counts.get(name, 0) + 1
    for name, count in counts.items():
        tallies.add(tenant_id, name, count)


def _tally(outcome: StoreOutcome | None) -> str:
    if outcome is None:
        return "error.VAL_001"
    return _TALLIES[outcome] if isinstance(outcome, str) else f"error.{outcome.code}"


_TALLIES = {
    "accepted": "events.accepted",
    "duplicate": "events.duplicate",
    "conflict": "error.EVENT_CONFLICT",
}
