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
from rewards.types.rules import CompiledRule, Verdict

__all__ = ["NewFiring", "NewRefusal", "judged_pairs", "write_firings", "write_refusals"]

_TEXT_LENGTH: Final = 500

_JUDGED: Final = """
SELECT event_row, rule_id FROM rewards_firing WHERE event_row = ANY (%(rows)b)
UNION
SELECT event_row, rule_id FROM rewards_refusal WHERE event_row = ANY (%(rows)b)
"""
# Events and rules are named once; each row says by a 1-based number which of them it is about.
_ROWS: Final = """
JOIN unnest(%(event_players)b, %(event_rows)b, %(event_ids)b, %(event_times)b) WITH ORDINALITY
    AS event (player_id, event_row, event_id, occurred_at, place) ON event.place = new.event
JOIN unnest(%(rule_tenants)b, %(rule_ids)b, %(rule_versions)b) WITH ORDINALITY
    AS rule (tenant_id, rule_id, version, place) ON rule.place = new.rule
"""
_WRITE_FIRINGS: Final = f"""
INSERT INTO rewards_firing (
    id, tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, fired_at, cost,
    clipped_from, is_retroactive, effects, trace
)
SELECT new.id, rule.tenant_id, rule.rule_id, rule.version, event.player_id, event.event_row,
    event.event_id, event.occurred_at, %(now)s, new.cost::numeric,
    nullif(new.clipped_from, '')::numeric, %(is_retroactive)s, new.effects::jsonb,
    new.trace::jsonb
FROM unnest(
    %(ids)b, %(events)b, %(rules)b, %(costs)b, %(clipped)b, %(effects)b, %(traces)b
) AS new (id, event, rule, cost, clipped_from, effects, trace)
{_ROWS}
"""  # noqa: S608 - only constants are put into the text
_WRITE_REFUSALS: Final = f"""
INSERT INTO rewards_refusal (
    tenant_id, rule_id, version, player_id, event_row, event_id, occurred_at, refused_at, reason,
    text, trace
)
SELECT rule.tenant_id, rule.rule_id, rule.version, event.player_id, event.event_row,
    event.event_id, event.occurred_at, %(now)s, new.reason, new.text, new.trace::jsonb
FROM unnest(%(events)b, %(rules)b, %(reasons)b, %(texts)b, %(traces)b)
    AS new (event, rule, reason, text, trace)
{_ROWS}
ON CONFLICT DO NOTHING
"""  # noqa: S608


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
    """Return the columns that firings and refusals share; see ``_ROWS``."""
    events: dict[int, tuple[StoredEvent, UUID]] = {}
    event_places: dict[int, int] = {}
    rules: dict[tuple[UUID, int], tuple[str, CompiledRule]] = {}
    rule_places: dict[tuple[UUID, int], int] = {}
    event_slots, rule_slots = [], []
    for event, player_id, verdict in rows:
        place = event_places.get(event.id)
        if place is None:
            place = event_places[event.id] = len(event_places) + 1
            events[event.id] = (event, player_id)
        event_slots.append(place)
        rule = verdict.rule
        key = (rule.pk, rule.version)
        slot = rule_places.get(key)
        if slot is None:
            slot = rule_places[key] = len(rule_places) + 1
            rules[key] = (event.tenant_id, rule)
        rule_slots.append(slot)
    return {
        "event_players": UuidArray(player_id for _, player_id in events.values()),
        "event_rows": BigintArray(events),
        "event_ids": TextArray(event.event_id for event, _ in events.values()),
        "event_times": TimeArray(event.occurred_at for event, _ in events.values()),
        "rule_tenants": TextArray(tenant_id for tenant_id, _ in rules.values()),
        "rule_ids": UuidArray(rule.pk for _, rule in rules.values()),
        "rule_versions": IntegerArray(rule.version for _, rule in rules.values()),
        "events": IntegerArray(event_slots),
        "rules": IntegerArray(rule_slots),
        "traces": TextArray(_trace(verdict) for _, _, verdict in rows),
    }


def _trace(verdict: Verdict) -> str:
    return _json(trace_lines(verdict)) if verdict.trace else "[]"


def _json(value: Any) -> str:
    return encode(value).decode()


def _text(value: Decimal | None) -> str:
    return "" if value is None else str(value)
