"""Grants as they are answered, to players and to back offices (spec 03 section 4)."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from phoenix_site.common.documents import plain_number
from rewards.models import Firing, Grant, GrantMove, LedgerTransaction
from tenants.models import Delivery


class GrantItemOutput(serializers.Serializer[Any]):
    item_id = serializers.UUIDField(allow_null=True, help_text="Null for one brought inline.")
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    image_url = serializers.CharField(allow_null=True)
    reward_type = serializers.CharField()
    payload = serializers.DictField()


class GrantOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    user_id = serializers.CharField()
    source_type = serializers.ChoiceField(choices=Grant.SourceType.choices)
    source_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Grant.Status.choices)
    item = GrantItemOutput()
    context = serializers.DictField(  # type: ignore[assignment]  # the contract's word
        help_text="Such as window_key, milestone or coupon_code."
    )
    group_id = serializers.UUIDField()
    group_total = serializers.IntegerField()
    rule_id = serializers.CharField(allow_null=True)
    rule_version = serializers.IntegerField(allow_null=True)
    cause_event_id = serializers.CharField(allow_null=True)
    claim_by = serializers.DateTimeField(allow_null=True)
    activated_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class OrderListOutput(serializers.Serializer[Any]):
    orders = GrantOutput(many=True)
    total = serializers.IntegerField()


class GrantListOutput(serializers.Serializer[Any]):
    grants = GrantOutput(many=True)
    total = serializers.IntegerField()


class GroupOutput(serializers.Serializer[Any]):
    grants = GrantOutput(many=True)


class ClaimInput(serializers.Serializer[Any]):
    fields = serializers.DictField(  # type: ignore[assignment]  # the contract's word
        required=False, help_text="What the player says with it, such as an address."
    )


class GiveInput(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=128)
    item_id = serializers.UUIDField()
    reason = serializers.CharField(max_length=500)
    source_id = serializers.CharField(
        max_length=200, required=False, help_text="What it is for; it gives an item once."
    )


class GrantReasonInput(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, help_text="Why; kept with the grant.")


class RevokeInput(GrantReasonInput):
    clip = serializers.BooleanField(
        required=False, help_text="Take what the wallet has, if that is less than was given."
    )


class MoveOutput(serializers.Serializer[Any]):
    from_status = serializers.CharField(allow_blank=True)
    to_status = serializers.CharField()
    at = serializers.DateTimeField()
    actor = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)


class ExplainedGrantOutput(GrantOutput):
    note = serializers.CharField(allow_blank=True)
    cost = serializers.FloatField()
    moves = MoveOutput(many=True)


class GrantFiringOutput(serializers.Serializer[Any]):
    firing_id = serializers.UUIDField()
    rule_id = serializers.CharField()
    version = serializers.IntegerField()
    event_id = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    fired_at = serializers.DateTimeField()
    cost = serializers.FloatField()
    effects = serializers.ListField(child=serializers.DictField())


class ExplainedPostingOutput(serializers.Serializer[Any]):
    account = serializers.CharField()
    currency_id = serializers.CharField()
    amount = serializers.FloatField()


class ExplainedTransactionOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    reverses = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    postings = ExplainedPostingOutput(many=True)


class AttemptOutput(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    milliseconds = serializers.IntegerField(allow_null=True)
    status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_blank=True)


class ExplainedDeliveryOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    state = serializers.CharField()
    created_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    attempts = AttemptOutput(many=True)


class GrantExplanationOutput(serializers.Serializer[Any]):
    grant = ExplainedGrantOutput()
    firing = GrantFiringOutput(allow_null=True)
    trace = serializers.ListField(child=serializers.DictField())
    transactions = ExplainedTransactionOutput(many=True)
    deliveries = ExplainedDeliveryOutput(many=True)


def grant_body(grant: Grant) -> dict[str, Any]:
    """Return a grant; its player and rule are read already."""
    item = {
        name: grant.snapshot.get(name)
        for name in ("item_id", "name", "description", "image_url", "reward_type", "payload")
    }
    return {
        "id": str(grant.pk),
        "user_id": grant.player.external_id,
        "source_type": grant.source_type,
        "source_id": grant.source_id,
        "status": grant.status,
        "item": item,
        "context": grant.context,
        "group_id": str(grant.group_id),
        "group_total": grant.group_total,
        "rule_id": None if grant.rule is None else grant.rule.rule_id,
        "rule_version": grant.rule_version,
        "cause_event_id": grant.cause_event_id,
        "claim_by": grant.claim_by,
        "activated_at": grant.activated_at,
        "ends_at": grant.ends_at,
        "created_at": grant.created_at,
        "updated_at": grant.updated_at,
    }


def grant_bodies(grants: Iterable[Grant]) -> list[dict[str, Any]]:
    """Return grants in their order."""
    return [grant_body(grant) for grant in grants]


def explanation_body(
    grant: Grant,
    *,
    moves: Iterable[GrantMove],
    transactions: Iterable[LedgerTransaction],
    deliveries: Iterable[Delivery],
) -> dict[str, Any]:
    """Return why a grant is there and what it did."""
    return {
        "grant": {
            **grant_body(grant),
            "note": grant.note,
            "cost": plain_number(grant.cost),
            "moves": [_move(move) for move in moves],
        },
        "firing": None if grant.firing is None else _firing(grant.firing),
        "trace": [] if grant.firing is None else grant.firing.trace,
        "transactions": [_transaction(each) for each in transactions],
        "deliveries": [_delivery(each) for each in deliveries],
    }


def _move(move: GrantMove) -> dict[str, Any]:
    return {
        "from_status": move.from_status,
        "to_status": move.to_status,
        "at": move.at,
        "actor": move.actor,
        "reason": move.reason,
    }


def _firing(firing: Firing) -> dict[str, Any]:
    return {
        "firing_id": str(firing.pk),
        "rule_id": firing.rule.rule_id,
        "version": firing.version,
        "event_id": firing.event_id,
        "occurred_at": firing.occurred_at,
        "fired_at": firing.fired_at,
        "cost": plain_number(firing.cost),
        "effects": firing.effects,
    }


def _transaction(row: LedgerTransaction) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "reason": row.reason,
        "reverses": None if row.reverses_id is None else str(row.reverses_id),
        "created_at": row.created_at,
        "postings": [
            {
                "account": posting.account.kind,
                "currency_id": posting.account.currency.currency_id,
                "amount": plain_number(posting.amount),
            }
            for posting in row.postings.all()
        ],
    }


def _delivery(row: Delivery) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "state": row.state,
        "created_at": row.created_at,
        "closed_at": row.closed_at,
        "attempts": [
            {
                "number": attempt.number,
                "started_at": attempt.started_at,
                "milliseconds": attempt.milliseconds,
                "status": attempt.status,
                "error": attempt.error,
            }
            for attempt in row.attempts.all()
        ],
    }
