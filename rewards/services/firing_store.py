"""Rows of firings and refusals, written as sets."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from ingestion.types import StoredEvent
from phoenix_site.common.arrays import BigintArray, IntegerArray, TextArray, TimeArray, UuidArray
from phoenix_site.common.json import encode
from rewards.rules.verdicts import trace_lines
from rewards.services.statements import run
from rewards.types.rules import Verdict

__all__ = ["NewFiring", "NewRefusal", "judged_pairs", "write_firings", "write_refusals"]

_TEXT_LENGTH: Final = 500

_JUDGED: Final = """
SELECT event_row, rule_id FROM rewards_firing WHERE event_row = ANY (%(rows)b)
UNION
SELECT event_row, rule_id FROM rewards_refusal WHERE event_row = ANY (%(rows)b)
"""
_WRITE_FIRINGS: Final = """
INSERT INTO rewards_firing (
    id, tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, fired_at, cost,
    clipped_from, is_retroactive, effects, trace
)
SELECT id, tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, %(now)s,
    cost::numeric, nullif(clipped_from, '')::numeric, %(is_retroactive)s, effects::jsonb,
    trace::jsonb
FROM unnest(
    %(ids)b, %(tenants)b, %(rules)b, %(versions)b, %(players)b, %(rows)b, %(events)b,
    %(times)b, %(costs)b, %(clipped)b, %(effects)b, %(traces)b
) AS new (
    id, tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, cost,
    clipped_from, effects, trace
)
"""
_WRITE_REFUSALS: Final = """
INSERT INTO rewards_refusal (
    tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, refused_at, reason,
    text, trace
)
SELECT tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, %(now)s,
    reason, text, trace::jsonb
FROM unnest(
    %(tenants)b, %(rules)b, %(versions)b, %(players)b, %(rows)b, %(events)b, %(times)b,
    %(reasons)b, %(texts)b, %(traces)b
) AS new (
    tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, reason, text, trace
)
ON CONFLICT DO NOTHING
"""


class NewFiring(NamedTuple):
    """A firing to be written; ``effects`` are what its effects became."""

    id: UUID
    event: StoredEvent
    player_id: UUID
    verdict: Verdict
    effects: list[dict[str, Any]]


class NewRefusal(NamedTuple):
    """A refusal to be written."""

    event: StoredEvent
    player_id: UUID
    verdict: Verdict


def judged_pairs(event_rows: Collection[int]) -> set[tuple[int, UUID]]:
    """Return which (event row, rule) fired or was refused before. Queries: 1, or 0 for none."""
    if not event_rows:
        return set()
    found: list[tuple[Any, ...]] = run(_JUDGED, {"rows": BigintArray(event_rows)})
    return {(event_row, rule) for event_row, rule in found}


def write_firings(
    firings: Sequence[NewFiring], *, now: datetime, is_retroactive: bool = False
) -> None:
    """Write firings; a second one of a version, event and player is refused. Queries: 1 or 0."""
    if not firings:
        return
    verdicts = [firing.verdict for firing in firings]
    run(
        _WRITE_FIRINGS,
        {
            **_columns([(each.event, each.player_id, each.verdict) for each in firings]),
            "now": now,
            "is_retroactive": is_retroactive,
            "ids": UuidArray(each.id for each in firings),
            "costs": TextArray(str(verdict.cost) for verdict in verdicts),
            "clipped": TextArray(_text(verdict.clipped_from) for verdict in verdicts),
            "effects": TextArray(_json(each.effects) for each in firings),
        },
    )


def write_refusals(refusals: Sequence[NewRefusal], *, now: datetime) -> None:
    """Write refusals; one that is there already stays. Queries: 1 or 0."""
    if not refusals:
        return
    verdicts = [refusal.verdict for refusal in refusals]
    run(
        _WRITE_REFUSALS,
        {
            **_columns(refusals),
            "now": now,
            "reasons": TextArray(str(verdict.reason) for verdict in verdicts),
            "texts": TextArray(verdict.text[:_TEXT_LENGTH] for verdict in verdicts),
        },
    )


def _columns(rows: Sequence[tuple[StoredEvent, UUID, Verdict]]) -> dict[str, Any]:
    events, players, verdicts = zip(*rows, strict=True)
    return {
        "tenants": TextArray(event.tenant_id for event in events),
        "rules": UuidArray(verdict.rule.pk for verdict in verdicts),
        "versions": IntegerArray(verdict.rule.version for verdict in verdicts),
        "players": UuidArray(players),
        "rows": BigintArray(event.id for event in events),
        "events": TextArray(event.event_id for event in events),
        "times": TimeArray(event.occurred_at for event in events),
        "traces": TextArray(_json(trace_lines(verdict)) for verdict in verdicts),
    }


def _json(value: Any) -> str:
    return encode(value).decode()


def _text(value: Decimal | None) -> str:
    return "" if value is None else str(value)
