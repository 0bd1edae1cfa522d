"""Wallets, currencies, transactions and proofs as they are asked for and answered (spec 03, 3)."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from rest_framework import serializers

from rewards.models import Currency, LedgerTransaction, Proof
from rewards.selectors.currencies import currency_document
from rewards.selectors.wallets import WalletEntry
from rewards.services.holds import HoldState
from rewards.types.money import Movement
from rewards.types.wallets import (
    AccountLine,
    Balance,
    Balances,
    BulkResult,
    Reversed,
    TransactionView,
)

# --- Currencies ----------------------------------------------------------------------------------


class ExpiryShape(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["after"], required=False)
    days = serializers.IntegerField(min_value=1, max_value=36_500)


class CurrencyChange(serializers.Serializer[Any]):
    id = serializers.RegexField(
        r"^([a-z][a-z0-9_]{0,39}|[A-Z]{3})$",
        required=False,
        help_text="Cash has its ISO code. Fixed after the first posting, like kind, role, "
        "is_spendable and decimal_places.",
    )
    name = serializers.CharField(max_length=120, required=False)
    symbol = serializers.CharField(max_length=16, required=False, allow_null=True)
    kind = serializers.ChoiceField(choices=Currency.Kind.choices, required=False)
    role = serializers.ChoiceField(
        choices=Currency.Role.choices,
        required=False,
        allow_null=True,
        help_text="At most one of each in a tenant.",
    )
    is_spendable = serializers.BooleanField(required=False)
    decimal_places = serializers.IntegerField(min_value=0, max_value=8, required=False)
    unit_cost = serializers.FloatField(
        min_value=0, required=False, help_text="What one unit costs, in the base currency."
    )
    expiry = ExpiryShape(required=False, allow_null=True)
    player_wallets = serializers.BooleanField(
        required=False, help_text="Whether players hold it: by default unless it is cash."
    )
    active = serializers.BooleanField(required=False)
    opening_lots_expire_at = serializers.DateTimeField(
        required=False,
        help_text="When expiry is switched on: until when what wallets hold now is good.",
    )
    version = serializers.IntegerField(required=False, help_text="Refuse any other (409).")


class CurrencyInput(CurrencyChange):
    id = serializers.RegexField(
        r"^([a-z][a-z0-9_]{0,39}|[A-Z]{3})$", help_text="Cash has its ISO code."
    )
    name = serializers.CharField(max_length=120)


class CurrencyOutput(serializers.Serializer[Any]):
    id = serializers.CharField()
    tenant_id = serializers.CharField()
    name = serializers.CharField()
    symbol = serializers.CharField(allow_null=True)
    kind = serializers.ChoiceField(choices=Currency.Kind.choices)
    role = serializers.ChoiceField(choices=Currency.Role.choices, allow_null=True)
    is_spendable = serializers.BooleanField()
    decimal_places = serializers.IntegerField()
    unit_cost = serializers.FloatField()
    expiry = ExpiryShape(allow_null=True)
    player_wallets = serializers.BooleanField()
    active = serializers.BooleanField()
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class CurrencyListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    currencies = CurrencyOutput(many=True)


def currency_bodies(rows: Sequence[Currency]) -> list[dict[str, Any]]:
    """Return currencies as they are answered."""
    return [
        {
            "tenant_id": row.tenant_id,
            **currency_document(row),
            "version": row.version,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
        for row in rows
    ]


# --- Balances ------------------------------------------------------------------------------------


class ExpiringOutput(serializers.Serializer[Any]):
    amount = serializers.FloatField()
    expires_at = serializers.DateTimeField()


class BalanceOutput(serializers.Serializer[Any]):
    currency_id = serializers.CharField()
    currency_name = serializers.CharField()
    currency_symbol = serializers.CharField(allow_null=True)
    available = serializers.FloatField()
    held = serializers.FloatField()
    lifetime_earned = serializers.FloatField()
    expiring = ExpiringOutput(many=True)


class BalancesOutput(serializers.Serializer[Any]):
    tenant_id = serializers.CharField()
    user_id = serializers.CharField()
    balances = BalanceOutput(many=True)


class AdminBalancesOutput(BalancesOutput):
    as_of = serializers.DateTimeField(allow_null=True)
    last_transaction_id = serializers.UUIDField(allow_null=True)


class WalletEntryOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    currency_id = serializers.CharField()
    amount = serializers.FloatField()
    balance_after = serializers.FloatField()
    source_type = serializers.CharField()
    source_ref = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


def balances_body(found: Balances) -> dict[str, Any]:
    """Return a player's wallets as the player sees them."""
    return {
        "tenant_id": found.tenant_id,
        "user_id": found.user_id,
        "balances": [_balance(each) for each in found.balances],
    }


def admin_balances_body(found: Balances) -> dict[str, Any]:
    """Return a player's wallets with the instant they are of."""
    last = found.last_transaction_id
    return {
        **balances_body(found),
        "as_of": found.as_of,
        "last_transaction_id": None if last is None else str(last),
    }


def _balance(balance: Balance) -> dict[str, Any]:
    return {
        "currency_id": balance.currency.currency_id,
        "currency_name": balance.currency.name,
        "currency_symbol": balance.currency.symbol,
        "available": number(balance.available),
        "held": number(balance.held),
        "lifetime_earned": number(balance.lifetime_earned),
        "expiring": [
            {"amount": number(lot.amount), "expires_at": lot.expires_at} for lot in balance.expiring
        ],
    }


def number(amount: Decimal) -> int | Decimal:
    """Return an exact JSON number, whole ones without a point."""
    return int(amount) if amount == amount.to_integral_value() else amount.normalize()


def entry_bodies(entries: Iterable[WalletEntry]) -> list[dict[str, Any]]:
    """Return the movements of a wallet as players see them."""
    return [
        {
            "id": str(entry.id),
            "currency_id": entry.currency_id,
            "amount": number(entry.amount),
            "balance_after": number(entry.balance_after),
            "source_type": entry.source_type,
            "source_ref": entry.source_ref,
            "description": entry.description,
            "created_at": entry.created_at,
        }
        for entry in entries
    ]


# --- Movements -----------------------------------------------------------------------------------


class MoveInputShape(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=128)
    currency_id = serializers.CharField(max_length=40)
    amount = serializers.FloatField(help_text="Greater than 0, in the currency's decimals.")
    reason = serializers.CharField(max_length=500)
    reference = serializers.CharField(max_length=200, required=False)


class GrantInputShape(MoveInputShape):
    expires_at = serializers.DateTimeField(required=False)


class BulkGrantInput(serializers.Serializer[Any]):
    items = serializers.ListField(child=GrantInputShape(), min_length=1, max_length=1000)


class MovementOutput(serializers.Serializer[Any]):
    transaction_id = serializers.UUIDField()
    balance_after = serializers.FloatField()


class GrantedItemOutput(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["posted", "duplicate", "rejected"])
    transaction_id = serializers.UUIDField(allow_null=True)
    error = serializers.CharField(allow_null=True)


class BulkGrantOutput(serializers.Serializer[Any]):
    results = GrantedItemOutput(many=True)


class HoldInputShape(serializers.Serializer[Any]):
    user_id = serializers.CharField(max_length=128)
    currency_id = serializers.CharField(max_length=40)
    amount = serializers.FloatField()
    reference = serializers.CharField(max_length=200)
    expires_at = serializers.DateTimeField(required=False, help_text="By default in 24 hours.")


class CaptureInputShape(serializers.Serializer[Any]):
    amount = serializers.FloatField(required=False, help_text="Left out: what is left.")
    to = serializers.CharField(
        max_length=191, help_text="prize_pool:{reference}, fees, fees:{reference} or issuer."
    )
    reason = serializers.CharField(max_length=500, required=False)


class ReleaseInputShape(serializers.Serializer[Any]):
    amount = serializers.FloatField(required=False, help_text="Left out: what is left.")
    reason = serializers.CharField(max_length=500, required=False)


class HoldOutput(serializers.Serializer[Any]):
    hold_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=["open", "closed"])
    remaining = serializers.FloatField()


class ReverseInputShape(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500)
    clip = serializers.BooleanField(
        required=False, help_text="Take what is left, if that is less than was given."
    )


class ReversedOutput(serializers.Serializer[Any]):
    transaction_id = serializers.UUIDField()
    reverses = serializers.UUIDField()
    shortfall = serializers.FloatField()


def movement_body(movement: Movement) -> dict[str, Any]:
    """Return one movement of a wallet."""
    return {
        "transaction_id": str(movement.transaction_id),
        "balance_after": number(movement.balance_after),
    }


def bulk_body(results: Iterable[BulkResult]) -> dict[str, Any]:
    """Return what became of a list."""
    return {
        "results": [
            {
                "index": each.index,
                "status": each.status,
                "transaction_id": _text(each.transaction_id),
                "error": each.error,
            }
            for each in results
        ]
    }


def hold_body(hold: HoldState) -> dict[str, Any]:
    """Return a hold and what is left of it."""
    return {
        "hold_id": str(hold.id),
        "status": "open" if hold.remaining else "closed",
        "remaining": number(hold.remaining),
    }


def reversed_body(outcome: Reversed) -> dict[str, Any]:
    """Return what a reversal took back."""
    return {
        "transaction_id": str(outcome.transaction_id),
        "reverses": str(outcome.reverses),
        "shortfall": number(outcome.shortfall),
    }


# --- Transactions and proofs ---------------------------------------------------------------------


class LineOutput(serializers.Serializer[Any]):
    account = serializers.CharField()
    reference = serializers.CharField(allow_blank=True)
    user_id = serializers.CharField(allow_null=True)
    currency_id = serializers.CharField()
    amount = serializers.FloatField()
    balance_after = serializers.FloatField(allow_null=True)


class CauseOutput(serializers.Serializer[Any]):
    kind = serializers.CharField()
    id = serializers.CharField(allow_blank=True)
    event_id = serializers.CharField(allow_null=True)


class TransactionOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=LedgerTransaction.Kind.choices)
    user_id = serializers.CharField(allow_null=True)
    source_type = serializers.CharField()
    source_ref = serializers.CharField(allow_blank=True)
    cause = CauseOutput()
    actor = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    idempotency_key = serializers.CharField()
    reverses = serializers.UUIDField(allow_null=True)
    reversed_by = serializers.UUIDField(allow_null=True)
    created_at = serializers.DateTimeField()
    postings = LineOutput(many=True)
    explain = serializers.DictField(help_text="A sentence, and what it is about.")


class TransactionListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    transactions = TransactionOutput(many=True)


class ProofOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    number = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()
    counts = serializers.DictField(help_text="Transactions, postings, wallets, per currency.")
    differences = serializers.ListField(child=serializers.DictField())
    difference_count = serializers.IntegerField()
    hash = serializers.CharField()
    previous_hash = serializers.CharField(allow_blank=True)


class ProofListOutput(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    proofs = ProofOutput(many=True)


def transaction_body(view: TransactionView, explain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a transaction with its postings, its cause and why it is what it is."""
    return {
        "id": str(view.id),
        "kind": view.kind,
        "user_id": view.user_id,
        "source_type": view.source_type,
        "source_ref": view.source_ref,
        "cause": {"kind": view.cause_kind, "id": view.cause_id, "event_id": view.event_id},
        "actor": view.actor,
        "reason": view.reason,
        "idempotency_key": view.idempotency_key,
        "reverses": _text(view.reverses),
        "reversed_by": _text(view.reversed_by),
        "created_at": view.created_at,
        "postings": [_line(line) for line in view.postings],
        "explain": dict(explain),
    }


def _line(line: AccountLine) -> dict[str, Any]:
    return {
        "account": line.account_kind,
        "reference": line.reference,
        "user_id": line.user_id,
        "currency_id": line.currency_id,
        "amount": number(line.amount),
        "balance_after": None if line.balance_after is None else number(line.balance_after),
    }


def proof_body(proof: Proof) -> dict[str, Any]:
    """Return one proof."""
    return {
        "id": str(proof.pk),
        "number": proof.number,
        "started_at": proof.started_at,
        "finished_at": proof.finished_at,
        "counts": proof.counts,
        "differences": proof.differences,
        "difference_count": proof.difference_count,
        "hash": proof.hash,
        "previous_hash": proof.previous_hash,
    }


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
