"""Currencies: made, changed and archived; each change is a version (LED-10, ADM-3)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from phoenix_site.common.documents import merge_patch
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from rewards.exceptions import AlreadyExistsError, DocumentError, InUseError
from rewards.models import Currency
from rewards.rules.currencies import FIXED, CurrencyFields, read_currency
from rewards.selectors import currencies as selectors
from rewards.services import documents
from tenants.models import Tenant
from tenants.types import Actor

__all__ = [
    "KIND",
    "archive_currency",
    "create_currency",
    "duplicate_currency",
    "patch_currency",
    "replace_currency",
]

KIND: Final = "currency"

# Everybody who has or holds something of the currency, in the order of all other locks.
_LOCK_HOLDERS: Final = """
SELECT participant.player_id FROM rewards_participant AS participant
WHERE participant.player_id IN (
    SELECT account.player_id FROM rewards_account AS account
    JOIN players_player AS player ON player.id = account.player_id
    WHERE player.tenant_id = %(tenant)s AND account.currency_id = %(currency)s
)
ORDER BY participant.player_id FOR NO KEY UPDATE
"""
# What never expired until now ends at the chosen instant: in wallets that have lots already, in
# those that get their first one, and in what open holds have taken out of neither.
_END_LASTING_LOTS: Final = """
UPDATE rewards_lot AS lot SET expires_at = %(at)s
FROM rewards_account AS account
WHERE account.id = lot.account_id AND account.currency_id = %(currency)s
    AND lot.expires_at IS NULL
"""
_MAKE_OPENING_LOTS: Final = """
INSERT INTO rewards_lot (account_id, transaction_id, amount, remaining, expires_at, created_at)
SELECT account.id, NULL, account.balance, account.balance, %(at)s, %(now)s
FROM rewards_account AS account
WHERE account.currency_id = %(currency)s AND account.kind = 'wallet' AND NOT account.has_lots
    AND account.balance > 0
"""
_MAKE_LOTS_OF_HOLDS: Final = """
WITH undrawn AS (
    SELECT hold.id, account.id AS account_id,
        hold.amount - hold.captured - hold.released - coalesce((
            SELECT sum(draw.amount) FROM rewards_lotdraw AS draw WHERE draw.hold_id = hold.id
        ), 0) AS amount
    FROM rewards_hold AS hold
    JOIN rewards_account AS account ON account.player_id = hold.player_id
        AND account.currency_id = hold.currency_id AND account.kind = 'wallet'
    WHERE hold.currency_id = %(currency)s AND hold.status = 'open'
), lot AS (
    INSERT INTO rewards_lot (
        account_id, transaction_id, amount, remaining, expires_at, created_at
    )
    SELECT account_id, id, amount, 0, %(at)s, %(now)s FROM undrawn WHERE amount > 0
    RETURNING id, transaction_id, amount
)
INSERT INTO rewards_lotdraw (hold_id, lot_id, amount)
SELECT transaction_id, id, amount FROM lot
"""
_MARK: Final = """
UPDATE rewards_account SET has_lots = true
WHERE currency_id = %(currency)s AND kind = 'wallet' AND NOT has_lots
"""


@transaction.atomic
def create_currency(
    tenant_id: str,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> Currency:
    """Make a currency of ``document``.

    Raises: ``DocumentError`` with every fault, ``AlreadyExistsError`` for an id or a role that the
    tenant has, ``NotFoundError`` without the tenant.
    """
    if not Tenant.objects.filter(pk=tenant_id).exists():
        raise NotFoundError("There is no such tenant.")
    fields = read_currency(document)
    row = Currency(tenant_id=tenant_id)
    _assign(row, fields)
    _save(row)
    documents.note_change(
        row, kind=KIND, document=fields.document, before=None, actor=actor, now=now, reason=reason
    )
    return row


def replace_currency(
    tenant_id: str,
    currency_id: str,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> Currency:
    """Put ``document`` in the place of the currency's fields; what it leaves out gets its default.

    Switching expiry on gives every wallet one lot of what it holds, which ends at
    ``opening_lots_expire_at`` (by default as if it had been credited now).

    Raises: ``NotFoundError``, ``DocumentError``, ``VersionConflictError``, ``AlreadyExistsError``,
    ``InUseError`` for what is fixed since the first posting. Repeats: what changes nothing makes
    no version. Locks: everybody who has the currency, when expiry is switched on; the currency.
    """
    sent = {"id": currency_id, **document}
    return _change(
        tenant_id,
        currency_id,
        sent,
        document.get("version"),
        actor=actor,
        now=now,
        reason=reason,
    )


def patch_currency(
    tenant_id: str, currency_id: str, patch: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Currency:
    """Merge ``patch`` into the currency (RFC 7396); see ``replace_currency``."""
    present = selectors.currency_document(selectors.get_currency(tenant_id, currency_id))
    merged = merge_patch(present, patch)
    return _change(tenant_id, currency_id, merged, patch.get("version"), actor=actor, now=now)


def archive_currency(tenant_id: str, currency_id: str, *, actor: Actor, now: datetime) -> Currency:
    """Take the currency out of use: nothing new is posted in it. Repeats: harmless."""
    return patch_currency(tenant_id, currency_id, {"active": False}, actor=actor, now=now)


def duplicate_currency(
    tenant_id: str, currency_id: str, changes: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Currency:
    """Make a copy of the currency under the ``id`` in ``changes``, by default ``…_copy``.

    The copy has no role unless ``changes`` name one. See ``create_currency``.
    """
    original = selectors.currency_document(selectors.get_currency(tenant_id, currency_id))
    copy = {
        **original,
        "id": f"{original['id'][:35]}_copy",
        "name": f"{original['name'][:113]} (copy)",
        "role": None,
        "active": True,
    }
    return create_currency(tenant_id, merge_patch(copy, changes), actor=actor, now=now)


# --- Own -----------------------------------------------------------------------------------------


@transaction.atomic
def _change(
    tenant_id: str,
    currency_id: str,
    document: Mapping[str, Any],
    version: object,
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
) -> Currency:
    fields = read_currency(document)
    opening = _opening(tenant_id, currency_id, fields, now)
    rows = Currency.objects.select_for_update()
    row = rows.filter(tenant=tenant_id, currency_id=currency_id).first()
    if row is None:
        raise NotFoundError("There is no such currency.")
    documents.check_version(version, row.version)
    before = selectors.currency_document(row)
    if fields.document == before:
        return row
    _check_fixed(row, before, fields.document)
    is_switched_on = row.expiry_days is None and fields.expiry_days is not None
    _assign(row, fields)
    row.version += 1
    _save(row)
    if is_switched_on and opening is not None:
        _open_lots(row, at=opening, now=now)
    documents.note_change(
        row, kind=KIND, document=fields.document, before=before, actor=actor, now=now, reason=reason
    )
    return row


def _opening(
    tenant_id: str, currency_id: str, fields: CurrencyFields, now: datetime
) -> datetime | None:
    """Return when present balances end; lock whoever has one, ahead of the currency's row."""
    if fields.expiry_days is None:
        return None
    at = fields.opening_expires_at or now + timedelta(days=fields.expiry_days)
    if at <= now:
        raise DocumentError([Fault("opening_lots_expire_at", "must be in the future")])
    row = Currency.objects.filter(tenant=tenant_id, currency_id=currency_id).first()
    if row is not None and row.expiry_days is None:
        with connection.cursor() as cursor:
            cursor.execute(_LOCK_HOLDERS, {"tenant": tenant_id, "currency": row.pk})
    return at


def _open_lots(row: Currency, *, at: datetime, now: datetime) -> None:
    values: dict[str, UUID | datetime] = {"currency": row.pk, "at": at, "now": now}
    with connection.cursor() as cursor:
        for statement in (_END_LASTING_LOTS, _MAKE_OPENING_LOTS, _MAKE_LOTS_OF_HOLDS, _MARK):
            cursor.execute(statement, values)


def _check_fixed(row: Currency, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    changed = [name for name in FIXED if before[name] != after[name]]
    if changed and selectors.is_used(row.pk):
        raise InUseError(f"{', '.join(changed)} cannot change after the first posting.")


def _save(row: Currency) -> None:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as exc:
        if "currency_role_once_per_tenant" in str(exc):
            raise AlreadyExistsError(
                f"The tenant has a currency with the role {row.role}."
            ) from exc
        if "currency_id_once_per_tenant" in str(exc):
            raise AlreadyExistsError(f"The tenant has a currency {row.currency_id}.") from exc
        raise


def _assign(row: Currency, fields: CurrencyFields) -> None:
    for name in (
        *("currency_id", "name", "symbol", "kind", "role", "is_spendable", "decimal_places"),
        *("unit_cost", "expiry_days", "has_wallets", "is_active"),
    ):
        setattr(row, name, getattr(fields, name))
