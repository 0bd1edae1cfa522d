"""Codes of coupons: made by the thousand, declared void."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.arrays import TextArray, UuidArray
from phoenix_site.common.exceptions import NotFoundError
from phoenix_site.common.faults import Fault
from phoenix_site.common.ids import uuid7
from players.services.registration import ensure_players
from rewards.constants import COUPON_BATCH_SIZE, MAX_CODES, MAX_CODES_AT_ONCE
from rewards.exceptions import DocumentError, StateConflictError
from rewards.models import Coupon, CouponCode, Job
from rewards.rules import coupons as rules
from rewards.selectors import coupon_codes as selectors
from rewards.selectors import coupons
from rewards.services import jobs, statements
from rewards.services.jobs import JobRun
from rewards.types.coupons import CouponView, NewCode, ShownCode
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = [
    "free_codes",
    "generate",
    "get_random_coupon",
    "run_generation",
    "store_codes",
    "void_code",
]

GENERATION: Final = "coupon_codes"
# A space of codes in which so many tries in a row find nothing is full.
_MAX_ROUNDS: Final = 20
_NOBODY: Final = UUID(int=0)

_STORE: Final = """
INSERT INTO rewards_couponcode
    (id, tenant_id, coupon_id, code, is_case_sensitive, is_shared, player_id, status, grant_id,
     created_at, note)
SELECT new.id, %(tenant)s, %(coupon)s, new.code, %(is_case_sensitive)s, false,
       nullif(new.player_id, %(nobody)s), 'active', nullif(new.grant_id, %(nobody)s), %(now)s, ''
FROM unnest(%(ids)b, %(codes)b, %(players)b, %(grants)b) AS new (id, code, player_id, grant_id)
ORDER BY new.code
ON CONFLICT (tenant_id, code) DO NOTHING
RETURNING id
"""


# --- Random codes --------------------------------------------------------------------------------


def free_codes(coupon: CouponView, tenant_id: str, count: int) -> list[str]:
    """Return ``count`` new random codes that the tenant does not have at this moment. Queries: 1.

    Raises: ``StateConflictError`` when the codes of this form are used up.
    """
    found: set[str] = set()
    for _round in range(_MAX_ROUNDS):
        tried = {_random_code(coupon) for _ in range(count - len(found))} - found
        taken = CouponCode.objects.filter(tenant=tenant_id, code__in=tried)
        found |= tried - set(taken.values_list("code", flat=True))
        if len(found) >= count:
            return list(found)
    raise StateConflictError("There are hardly any codes of this form left.")


def store_codes(
    coupon: CouponView, tenant_id: str, codes: Sequence[NewCode], *, now: datetime
) -> set[UUID]:
    """Store codes and return the ids of those that the tenant did not have yet.

    Locks: the codes, in their order: whoever stores the same ones waits. Queries: 1.
    """
    values = {
        "tenant": tenant_id,
        "coupon": coupon.pk,
        "is_case_sensitive": coupon.is_case_sensitive,
        "nobody": _NOBODY,
        "now": now,
        "ids": UuidArray(code.code_id for code in codes),
        "codes": TextArray(code.code for code in codes),
        "players": UuidArray(code.player_id or _NOBODY for code in codes),
        "grants": UuidArray(code.grant_id or _NOBODY for code in codes),
    }
    return {row[0] for row in statements.run(_STORE, values)}


def generate(
    tenant_id: str,
    coupon_id: UUID,
    document: Mapping[str, Any],
    *,
    actor: Actor,
    now: datetime,
) -> list[ShownCode] | Job:
    """Make random codes for the players of ``user_ids``, or ``count`` for anybody (CPN-7).

    Returns the codes, or the job that makes them where there are more than 1 000.

    Raises: ``DocumentError``, ``NotFoundError``; ``StateConflictError`` of a coupon that takes no
    random codes.
    """
    owners = _read_owners(document)
    with transaction.atomic():
        coupon = get_random_coupon(tenant_id, coupon_id)
        if len(owners) > MAX_CODES_AT_ONCE:
            sent = {"coupon_id": str(coupon_id), **document}
            return jobs.enqueue(tenant_id, GENERATION, sent, actor.label, now)
        made = _make(coupon, tenant_id, owners, now=now)
        audit.record(
            "coupon.codes_generated",
            actor=actor,
            now=now,
            tenant_id=tenant_id,
            change=AuditChange("coupon", str(coupon_id), coupon.name, None, {"count": len(made)}),
        )
    shown = {code.code_id: code for code in selectors.shown_codes(tenant_id, made, now=now)}
    return [shown[code_id] for code_id in made]


def run_generation(run: JobRun) -> Mapping[str, Any]:
    """Make the codes of a generation; each step's codes and its checkpoint commit together."""
    coupon_id = UUID(run.parameters["coupon_id"])
    owners = _read_owners({k: v for k, v in run.parameters.items() if k != "coupon_id"})
    made = int(run.checkpoint.get("made", 0))
    while made < len(owners):
        with transaction.atomic():
            coupon = get_random_coupon(run.tenant_id, coupon_id)
            step = owners[made : made + COUPON_BATCH_SIZE]
            _make(coupon, run.tenant_id, step, now=run.clock())
            made += len(step)
            run.save_checkpoint(
                {"made": made}, fraction=made / len(owners), result=_generated(coupon_id, made)
            )
    return _generated(coupon_id, made)


def _generated(coupon_id: UUID, made: int) -> dict[str, Any]:
    return {"coupon_id": str(coupon_id), "generated": made}


def _make(
    coupon: CouponView, tenant_id: str, owners: Sequence[str | None], *, now: datetime
) -> list[UUID]:
    """Store one code per owner, ``None`` being anybody; return the ids in the owners' order."""
    keys = {(tenant_id, owner) for owner in owners if owner is not None}
    players = ensure_players(keys, now=now)
    owned = [None if owner is None else players[tenant_id, owner] for owner in owners]
    made: dict[int, UUID] = {}
    for _round in range(_MAX_ROUNDS):
        new = {
            index: NewCode(uuid7(), _random_code(coupon), player_id)
            for index, player_id in enumerate(owned)
            if index not in made
        }
        stored = store_codes(coupon, tenant_id, list(new.values()), now=now)
        made |= {index: code.code_id for index, code in new.items() if code.code_id in stored}
        if len(made) == len(owned):
            return [made[index] for index in range(len(owned))]
    raise StateConflictError("There are hardly any codes of this form left.")


def _random_code(coupon: CouponView) -> str:
    return rules.random_code(coupon.code_prefix, secrets.token_bytes(coupon.code_length))


def get_random_coupon(tenant_id: str, coupon_id: UUID) -> CouponView:
    """Return a coupon that takes codes. Raises: ``NotFoundError``, ``StateConflictError``."""
    row = coupons.get_coupon(tenant_id, coupon_id)
    if row.status == Coupon.Status.ARCHIVED:
        raise StateConflictError("The coupon is archived.")
    if row.code_format == Coupon.CodeFormat.CUSTOM:
        raise StateConflictError("The coupon has one code that all share.")
    return coupons.coupon_view(row, None)


def _read_owners(document: Mapping[str, Any]) -> list[str | None]:
    """Return whom each code is for. Raises: ``DocumentError``."""
    faults = [
        Fault(key, "is not a known key")
        for key in document
        if key not in ("user_ids", "count_per_user", "count")
    ]
    if ("count" in document) == ("user_ids" in document):
        faults.append(Fault("count", "either count or user_ids is required"))
    each = _read_count(document, "count_per_user", faults)
    count = _read_count(document, "count", faults)
    user_ids = _read_user_ids(document, faults)
    total = len(user_ids) * each if user_ids else count
    if total > MAX_CODES:
        faults.append(Fault("", f"makes more than {MAX_CODES} codes"))
    if faults:
        raise DocumentError(faults)
    return [user_id for user_id in user_ids for _ in range(each)] if user_ids else [None] * count


def _read_count(document: Mapping[str, Any], key: str, faults: list[Fault]) -> int:
    value = document.get(key, 1)
    if type(value) is not int or not 1 <= value <= MAX_CODES:
        faults.append(Fault(key, f"must be a whole number from 1 to {MAX_CODES}"))
        return 1
    return value


def _read_user_ids(document: Mapping[str, Any], faults: list[Fault]) -> list[str]:
    sent = document.get("user_ids", [])
    if not isinstance(sent, list) or not all(isinstance(each, str) for each in sent):
        faults.append(Fault("user_ids", "must be a list of texts"))
        return []
    if "user_ids" in document and not sent:
        faults.append(Fault("user_ids", "must not be empty"))
    return list(dict.fromkeys(sent))


def _job_parameters(document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: document[key] for key in ("user_ids", "count_per_user", "count") if key in document
    }


# --- Void ----------------------------------------------------------------------------------------


@transaction.atomic
def void_code(tenant_id: str, typed: str, *, reason: str, actor: Actor, now: datetime) -> ShownCode:
    """Declare a code void that nobody has redeemed (CPN-8).

    Raises: ``NotFoundError``; ``StateConflictError`` when it is redeemed or void. Locks: the code.
    """
    found = selectors.find_code(tenant_id, typed, None)
    if found is None:
        raise NotFoundError("There is no such code.")
    row = CouponCode.objects.select_for_update().get(pk=found.code_id)
    if row.status == CouponCode.Status.REVOKED:
        raise StateConflictError("The code is void already.")
    if (
        row.status == CouponCode.Status.REDEEMED
        or row.redemptions.filter(reversed_at=None).exists()
    ):
        raise StateConflictError("The code is redeemed: reverse the redemption instead.")
    row.status, row.revoked_at = CouponCode.Status.REVOKED, now
    row.note = f"{actor.label}: {reason}"[:800]
    row.save(update_fields=["status", "revoked_at", "note"])
    audit.record(
        "coupon_code.voided",
        actor=actor,
        now=now,
        tenant_id=tenant_id,
        change=AuditChange("coupon_code", str(row.pk), row.code),
        reason=reason,
    )
    return selectors.shown_codes(tenant_id, [row.pk], now=now)[0]
