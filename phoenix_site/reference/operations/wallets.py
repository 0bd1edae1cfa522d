"""Wallets, currencies, transactions, holds and proofs, on the query and the admin gateway."""

from typing import Any, Final

from phoenix_site.reference.collections import (
    ADMIN_ERRORS,
    BODY_ERRORS,
    KEY_ERRORS,
    CollectionWords,
    collection_operations,
)
from phoenix_site.reference.types import Examples, Key, Operation

_POST: Final = (*ADMIN_ERRORS, *BODY_ERRORS, *KEY_ERRORS)
_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000041"
_OTHER_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000042"
_HOLD_ID: Final = "0198a1b2-c3d4-7e5f-8a6b-000000000043"
_TIME: Final = "2026-11-16T12:00:00Z"
_NEW_CURRENCY: Final[dict[str, Any]] = {
    "id": "gold_coins",
    "name": "Gold",
    "symbol": "G",
    "is_spendable": True,
    "decimal_places": 0,
    "role": "token",
    "unit_cost": 0.01,
    "expiry": {"type": "after", "days": 90},
}
_CURRENCY: Final[dict[str, Any]] = {
    "tenant_id": "test-tenant",
    **_NEW_CURRENCY,
    "kind": "points",
    "player_wallets": True,
    "active": True,
    "version": 1,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_BALANCES: Final[dict[str, Any]] = {
    "tenant_id": "test-tenant",
    "user_id": "user-123",
    "balances": [
        {
            "currency_id": "gold_coins",
            "currency_name": "Gold",
            "currency_symbol": "G",
            "available": 120,
            "held": 0,
            "lifetime_earned": 500,
            "expiring": [{"amount": 20, "expires_at": "2027-02-14T12:00:00Z"}],
        }
    ],
}
_ADMIN_BALANCES: Final[dict[str, Any]] = {
    **_BALANCES,
    "as_of": _TIME,
    "last_transaction_id": _ID,
}
_ENTRY: Final[dict[str, Any]] = {
    "id": _ID,
    "currency_id": "gold_coins",
    "amount": -50,
    "balance_after": 70,
    "source_type": "api",
    "source_ref": "order-4711",
    "description": "Bought a shield.",
    "created_at": _TIME,
}
_ENTRIES_SHAPE: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "currency_id": {"type": "string"},
            "amount": {"type": "number"},
            "balance_after": {"type": "number"},
            "source_type": {"type": "string"},
            "source_ref": {"type": "string"},
            "description": {"type": ["string", "null"]},
            "created_at": {"type": "string", "format": "date-time"},
        },
        "required": list(_ENTRY),
    },
}
_MOVE: Final[dict[str, Any]] = {
    "user_id": "user-123",
    "currency_id": "gold_coins",
    "amount": 100,
    "reason": "Welcome gift.",
    "reference": "welcome-2026",
}
_MOVED: Final = {"transaction_id": _ID, "balance_after": 100}
_HOLD: Final = {"hold_id": _HOLD_ID, "status": "open", "remaining": 40}
_TRANSACTION: Final[dict[str, Any]] = {
    "id": _ID,
    "kind": "credit",
    "user_id": "user-123",
    "source_type": "api",
    "source_ref": "welcome-2026",
    "cause": {"kind": "api_key", "id": _OTHER_ID, "event_id": None},
    "actor": "Back office",
    "reason": "Welcome gift.",
    "idempotency_key": f"api:grant:{_OTHER_ID}:welcome-user-123",
    "reverses": None,
    "reversed_by": None,
    "created_at": _TIME,
    "postings": [
        {
            "account": "issuer",
            "reference": "",
            "user_id": None,
            "currency_id": "gold_coins",
            "amount": -100,
            "balance_after": None,
        },
        {
            "account": "wallet",
            "reference": "",
            "user_id": "user-123",
            "currency_id": "gold_coins",
            "amount": 100,
            "balance_after": 100,
        },
    ],
    "explain": {"text": "By the key Back office: Welcome gift.", "event_id": None},
}
_TRANSACTIONS: Final = {"total": 1, "transactions": [_TRANSACTION]}
_PROOF: Final[dict[str, Any]] = {
    "id": _OTHER_ID,
    "number": 12,
    "started_at": "2026-11-17T02:00:04Z",
    "finished_at": "2026-11-17T02:00:06.812Z",
    "counts": {
        "gold_coins": {
            "transactions": 81244,
            "postings": 162488,
            "wallets": 5120,
            "circulating": "9120450",
        }
    },
    "differences": [],
    "difference_count": 0,
    "hash": "9f2c1d5a4a2f0c1f5c1e9a530d6a4f1f7c110198a1b2c3d47e5f8a6b00000000",
    "previous_hash": "",
}
_CURRENCIES: Final = CollectionWords(
    path="wallet/currencies",
    plural="currencies",
    key="currency_id",
    one="currency",
    many="currencies",
    request=_NEW_CURRENCY,
    answer=_CURRENCY,
    patch={"unit_cost": 0.02},
    also=("v1/tenants/wallet/currencies",),
    errors=("IN_USE",),
    descriptions={
        "replace": "What is left out gets its default. `id`, `kind`, `role`, `decimal_places` and "
        "`is_spendable` are fixed after the first posting. Switching `expiry` on gives every "
        "wallet one lot of what it holds, good until `opening_lots_expire_at`.",
        "archive": "Nothing new is posted in it; what players have stays.",
        "duplicate": "Name the copy's `id` in the body; it has no role unless the body names one.",
    },
)
_BOTH: Final[list[dict[str, list[str]]]] = [{"playerToken": []}, {"apiKey": []}, {"adminToken": []}]


def _moves(place: str, ending: str) -> dict[Key, Operation]:
    return {
        ("post", f"{place}/grant"): Operation(
            id=f"grantAmount{ending}",
            summary="Give an amount to a player",
            description="A player who is not known yet is made. The key of the request is the "
            "ledger's too, so a repeat posts nothing even after days.",
            errors=_POST,
            request=_MOVE,
            answer=_MOVED,
        ),
        ("post", f"{place}/deduct"): Operation(
            id=f"deductAmount{ending}",
            summary="Take an amount from a player",
            errors=(*_POST, "INSUFFICIENT_BALANCE", "NOT_SPENDABLE"),
            request=_MOVE,
            answer=_MOVED,
        ),
        ("post", f"{place}/grant/bulk"): Operation(
            id=f"grantAmounts{ending}",
            summary="Give amounts to up to 1000 players",
            description="One transaction; what is wrong with one item stops no other. An item "
            "with a `reference` is posted once per player, currency and reference; sent again it "
            "is a `duplicate`.",
            errors=(*_POST, "VAL_002"),
            request={"items": [_MOVE]},
            answer={
                "results": [{"index": 0, "status": "posted", "transaction_id": _ID, "error": None}]
            },
        ),
    }


def _holds(place: str, ending: str) -> dict[Key, Operation]:
    hold = f"{place}/holds/{{hold_id}}"
    return {
        ("post", f"{place}/holds"): Operation(
            id=f"openHold{ending}",
            summary="Set an amount of a wallet aside",
            description="What is left when `expires_at` comes goes back by itself.",
            errors=(*_POST, "INSUFFICIENT_BALANCE", "NOT_SPENDABLE"),
            request={
                "user_id": "user-123",
                "currency_id": "gold_coins",
                "amount": 40,
                "reference": "tournament:t-1:entry",
            },
            answer=_HOLD,
        ),
        ("post", f"{hold}/capture"): Operation(
            id=f"captureHold{ending}",
            summary="Pay what is set aside, or a part of it",
            errors=(*_POST, "HOLD_CLOSED", "HOLD_EXCEEDED"),
            request={"amount": 30, "to": "prize_pool:t-1"},
            answer={**_HOLD, "remaining": 10},
        ),
        ("post", f"{hold}/release"): Operation(
            id=f"releaseHold{ending}",
            summary="Give back what is set aside, or a part of it",
            errors=(*_POST, "HOLD_CLOSED", "HOLD_EXCEEDED"),
            request={"amount": 10},
            answer={**_HOLD, "status": "closed", "remaining": 0},
        ),
    }


def _ledger(place: str, ending: str) -> dict[Key, Operation]:
    transaction = f"{place}/transactions/{{transaction_id}}"
    return {
        ("get", transaction): Operation(
            id=f"getTransaction{ending}",
            summary="Read a transaction",
            description="With its postings, its cause, and why it is what it is.",
            errors=ADMIN_ERRORS,
            answer=_TRANSACTION,
        ),
        ("post", f"{transaction}/reverse"): Operation(
            id=f"reverseTransaction{ending}",
            summary="Take a transaction back",
            description="Once. A wallet that holds less refuses, unless `clip` takes what is "
            "there. Holds, captures, releases and expiries have ways of their own.",
            errors=(*_POST, "INSUFFICIENT_BALANCE", "ALREADY_REVERSED", "STATE_CONFLICT"),
            request={"reason": "Given by mistake.", "clip": True},
            answer={"transaction_id": _OTHER_ID, "reverses": _ID, "shortfall": 60},
        ),
        ("get", f"{place}/proofs"): Operation(
            id=f"listProofs{ending}",
            summary="List the proofs of the ledger",
            description="Newest first; each hash covers the proof before.",
            errors=ADMIN_ERRORS,
            answer={"total": 1, "proofs": [_PROOF]},
        ),
        ("post", f"{place}/proofs"): Operation(
            id=f"proveLedger{ending}",
            summary="Prove the ledger now",
            description="The job's result names the proof. Every night there is one anyway.",
            errors=_POST,
            answer={"job_id": _OTHER_ID, "status": "queued"},
        ),
    }


def _admin(place: str, ending: str) -> dict[Key, Operation]:
    return {
        **_moves(place, ending),
        **_holds(place, ending),
        **_ledger(place, ending),
    }


OPERATIONS: Final[dict[Key, Operation]] = {
    **collection_operations(_CURRENCIES),
    **_admin("/v1/tenants/{tenant_id}/wallet", ""),
    **_admin("/v1/wallet", "ByQuery"),
    ("get", "/v1/tenants/{tenant_id}/wallet/balances"): Operation(
        id="getBalancesOf",
        summary="Read a player's wallets, at any instant",
        description="As of an instant it is the sum of the postings up to it.",
        errors=ADMIN_ERRORS,
        answer=_ADMIN_BALANCES,
    ),
    ("get", "/v1/tenants/{tenant_id}/wallet/transactions"): Operation(
        id="listTransactions",
        summary="List a tenant's transactions",
        description="Newest first, with postings, cause and explanation.",
        errors=ADMIN_ERRORS,
        answer=_TRANSACTIONS,
    ),
    ("get", "/v1/wallet/balances"): Operation(
        id="getBalances",
        summary="Read wallets",
        description="One path of two gateways; the kind of credential decides. A player's token "
        "gets its own wallets; an API key or admin token those of `user_id`, with `tenant_id`.",
        errors=ADMIN_ERRORS,
        answer=Examples({"as a player": _BALANCES, "as a back office": _ADMIN_BALANCES}),
        answers={
            "200": {
                "anyOf": [
                    {"$ref": "#/components/schemas/BalancesOutput"},
                    {"$ref": "#/components/schemas/AdminBalancesOutput"},
                ]
            }
        },
        security=_BOTH,
    ),
    ("get", "/v1/wallet/balances/{currency_id}"): Operation(
        id="getBalance",
        summary="Read the wallet in one currency",
        errors=ADMIN_ERRORS,
        answer=_BALANCES,
    ),
    ("get", "/v1/wallet/transactions"): Operation(
        id="listWalletTransactions",
        summary="List what moved wallets",
        description="One path of two gateways; the kind of credential decides. A player's token "
        "gets a bare array of its own movements, newest first, up to 1000 at a time, with the "
        "whole number in `X-Total-Count`; an API key or admin token the tenant's transactions.",
        errors=ADMIN_ERRORS,
        answer=Examples({"as a player": [_ENTRY], "as a back office": _TRANSACTIONS}),
        answers={
            "200": {
                "oneOf": [
                    _ENTRIES_SHAPE,
                    {"$ref": "#/components/schemas/TransactionListOutput"},
                ]
            }
        },
        security=_BOTH,
    ),
}
