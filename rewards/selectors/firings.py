"""Firings and refusals of rules, as lists and pages show them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet, Sum

from players import selectors as players
from rewards.models import Firing, Refusal, Rule
from rewards.rules.verdicts import stored_effects
from rewards.types.listing import Listing

__all__ = [
    "FiringQuestion",
    "firing_documents",
    "list_firings",
    "list_refusals",
    "refusal_counts",
    "refusal_documents",
    "today",
]


@dataclass(frozen=True, slots=True)
class FiringQuestion:
    """What a list of firings or refusals is asked for; ``since`` is included, ``until`` is not."""

    limit: int = 50
    offset: int = 0
    user_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None


def list_firings(rule: Rule, asked: FiringQuestion) -> Listing[Firing]:
    """Return a page of the rule's firings, newest first. Queries: 2."""
    found = _of_player(Firing.objects.filter(rule=rule), rule, asked)
    if asked.since is not None:
        found = found.filter(fired_at__gte=asked.since)
    if asked.until is not None:
        found = found.filter(fired_at__lt=asked.until)
    page = found.order_by("-fired_at", "-pk")[asked.offset : asked.offset + asked.limit]
    return Listing(list(page), found.count())


def list_refusals(rule: Rule, asked: FiringQuestion) -> Listing[Refusal]:
    """Return a page of the rule's refusals, newest first. Queries: 2."""
    found = _of_player(Refusal.objects.filter(rule=rule), rule, asked)
    if asked.since is not None:
        found = found.filter(refused_at__gte=asked.since)
    if asked.until is not None:
        found = found.filter(refused_at__lt=asked.until)
    if asked.reason is not None:
        found = found.filter(reason=asked.reason)
    page = found.order_by("-refused_at", "-pk")[asked.offset : asked.offset + asked.limit]
    return Listing(list(page), found.count())


def _of_player(found: QuerySet[Any], rule: Rule, asked: FiringQuestion) -> QuerySet[Any]:
    if asked.user_id is None:
        return found
    player = players.find_player(rule.tenant_id, asked.user_id)
    return found.none() if player is None else found.filter(player=player)


def firing_documents(firings: Iterable[Firing]) -> list[dict[str, Any]]:
    """Return firings as answers show them. Queries: 1."""
    rows = list(firings)
    names = players.external_ids(row.player_id for row in rows)
    return [
        {
            "firing_id": row.pk,
            **_common(row, names),
            "fired_at": row.fired_at,
            "cost": row.cost,
            "clipped_from": row.clipped_from,
            "retroactive": row.is_retroactive,
            "effects": stored_effects(row.effects),
            "trace": row.trace,
        }
        for row in rows
    ]


def refusal_documents(refusals: Iterable[Refusal]) -> list[dict[str, Any]]:
    """Return refusals as answers show them. Queries: 1."""
    rows = list(refusals)
    names = players.external_ids(row.player_id for row in rows)
    return [
        {
            **_common(row, names),
            "refused_at": row.refused_at,
            "reason": row.reason,
            "text": row.text,
            "trace": row.trace,
        }
        for row in rows
    ]


def _common(row: Firing | Refusal, names: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "version": row.version,
        "user_id": names.get(row.player_id),
        "event_id": row.event_id,
        "occurred_at": row.occurred_at,
    }


def refusal_counts(rule: Rule, *, since: datetime) -> dict[str, int]:
    """Return how often each reason stopped the rule since then, the most frequent first."""
    rows = Refusal.objects.filter(rule=rule, refused_at__gte=since).values("reason")
    counted = rows.annotate(count=Count("pk")).order_by("-count", "reason")
    return {row["reason"]: row["count"] for row in counted}


def today(rules: Iterable[UUID], *, since: datetime) -> dict[UUID, tuple[int, Any]]:
    """Return firings and their cost since then, by rule. Queries: 1."""
    rows = Firing.objects.filter(rule_id__in=list(rules), fired_at__gte=since).values("rule_id")
    counted = rows.annotate(count=Count("pk"), total=Sum("cost"))
    return {row["rule_id"]: (row["count"], row["total"]) for row in counted}
