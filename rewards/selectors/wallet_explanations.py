"""Why a transaction is what it is: the rule, grant or hold behind it, and what caps left of it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from phoenix_site.common.documents import plain_number
from rewards.models import Firing, Grant
from rewards.types.wallets import TransactionView

__all__ = ["explanations"]


def explanations(views: Sequence[TransactionView]) -> dict[UUID, dict[str, Any]]:
    """Return for each transaction a sentence and what it is about. Queries: at most 3."""
    firings = _firings(views)
    grants = Grant.objects.in_bulk(_ids(views, "grant"))
    return {view.id: _explanation(view, firings, grants) for view in views}


def _firings(views: Sequence[TransactionView]) -> dict[UUID, Firing]:
    rows = Firing.objects.select_related("rule").filter(pk__in=_ids(views, "firing"))
    return {row.pk: row for row in rows}


def _ids(views: Sequence[TransactionView], kind: str) -> set[UUID]:
    found = set()
    for view in views:
        if view.cause_kind == kind:
            try:
                found.add(UUID(view.cause_id))
            except ValueError:
                continue
    return found


def _explanation(
    view: TransactionView, firings: Mapping[UUID, Firing], grants: Mapping[UUID, Grant]
) -> dict[str, Any]:
    if view.cause_kind == "firing" and (firing := firings.get(_uuid(view.cause_id))) is not None:
        return _of_firing(view, firing)
    if view.cause_kind == "grant" and (grant := grants.get(_uuid(view.cause_id))) is not None:
        return {
            "text": f"{grant.snapshot.get('name', 'An item')} was given by {grant.source_type}"
            f" {grant.source_id}.",
            "grant_id": str(grant.pk),
            "source_type": grant.source_type,
            "source_id": grant.source_id,
            "event_id": view.event_id,
        }
    return {"text": _plain_text(view), "event_id": view.event_id}


def _of_firing(view: TransactionView, firing: Firing) -> dict[str, Any]:
    clipped_from = _clipped_from(view, firing)
    text = f"Rule {firing.rule.rule_id}, version {firing.version}, for event {firing.event_id}"
    if clipped_from is not None:
        text += f"; clipped from {clipped_from} by the rule's caps"
    return {
        "text": f"{text}.",
        "firing_id": str(firing.pk),
        "rule_id": firing.rule.rule_id,
        "rule_version": firing.version,
        "event_id": firing.event_id,
        "clipped_from": clipped_from,
        "trace": firing.trace,
    }


def _clipped_from(view: TransactionView, firing: Firing) -> int | float | None:
    """Return what the credit was before caps: its effect's own word, else the firing's."""
    for effect in firing.effects:
        if effect.get("transaction_id") == str(view.id) and effect.get("clipped_from") is not None:
            return plain_number(Decimal(str(effect["clipped_from"])))
    return None if firing.clipped_from is None else plain_number(firing.clipped_from)


def _plain_text(view: TransactionView) -> str:
    who = view.actor or view.cause_id
    words = {
        "staff": f"By {who}",
        "api_key": f"By the key {who}",
        "hold": f"Of hold {view.cause_id}",
        "transaction": f"Takes back transaction {view.cause_id}, by {who}",
        "lot": f"The credit behind lot {view.cause_id} was over",
        "order": f"For {view.source_type} {view.source_ref}",
    }
    text = words.get(view.cause_kind, f"Of {view.cause_kind} {view.cause_id}")
    return f"{text}: {view.reason}" if view.reason else f"{text}."


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
