"""Codes that were made elsewhere, taken over row by row (CPN-7)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from phoenix_site.common.exceptions import InvalidInputError
from phoenix_site.common.faults import Fault
from phoenix_site.common.ids import uuid7
from players.services.registration import ensure_players
from rewards.constants import COUPON_BATCH_SIZE, MAX_CODES, MAX_CODES_AT_ONCE
from rewards.exceptions import DocumentError
from rewards.models import Job
from rewards.rules import coupons as rules
from rewards.services import jobs
from rewards.services.coupon_codes import get_random_coupon, store_codes
from rewards.services.jobs import JobRun
from rewards.types.coupons import CouponView, ImportRow, NewCode, RowVerdict
from tenants.services import audit
from tenants.types import Actor, AuditChange

__all__ = ["import_document", "import_rows", "read_import", "run_import", "verdict_document"]

IMPORT: Final = "coupon_import"
_SHOWN_FAULTS: Final = 1000


def read_import(document: Any) -> list[Any]:
    """Return the rows of an import that was sent as JSON or, as a text, as CSV.

    Raises: ``DocumentError``.
    """
    rows = rules.read_csv(document) if isinstance(document, str) else document
    if not isinstance(rows, list) or not rows:
        raise DocumentError([Fault("rows", "must be a list with a row or more")])
    if len(rows) > MAX_CODES:
        raise DocumentError([Fault("rows", f"has more than {MAX_CODES} rows")])
    return rows


def import_rows(
    tenant_id: str, coupon_id: UUID, rows: Sequence[Any], *, actor: Actor, now: datetime
) -> list[RowVerdict] | Job:
    """Take over codes that were made elsewhere, with a verdict for each row (CPN-7).

    Returns the verdicts, or the job that finds them where there are more than 1 000 rows. A row
    that is wrong stops no other one. Repeats: the same rows are duplicates then.

    Raises: ``NotFoundError``; ``StateConflictError`` of a coupon that takes no codes.
    """
    with transaction.atomic():
        coupon = get_random_coupon(tenant_id, coupon_id)
        if len(rows) > MAX_CODES_AT_ONCE:
            sent = {"coupon_id": str(coupon_id), "rows": [_plain_row(row) for row in rows]}
            return jobs.enqueue(tenant_id, IMPORT, sent, actor.label, now)
        verdicts = _import(coupon, tenant_id, rows, now=now)
        counts = _counts(verdicts)
        audit.record(
            "coupon.codes_imported",
            actor=actor,
            now=now,
            tenant_id=tenant_id,
            change=AuditChange("coupon", str(coupon_id), coupon.name, None, counts),
        )
    return verdicts


def run_import(run: JobRun) -> Mapping[str, Any]:
    """Take over the codes of a long import; verdicts and checkpoint commit with each step.

    The result has the counts and, of the rows that were not imported, the first 1 000.
    """
    coupon_id, rows = UUID(run.parameters["coupon_id"]), run.parameters["rows"]
    state: dict[str, Any] = {
        "done": 0,
        "imported": 0,
        "duplicate": 0,
        "rejected": 0,
        "results": [],
        **run.checkpoint,
    }
    while state["done"] < len(rows):
        with transaction.atomic():
            coupon = get_random_coupon(run.tenant_id, coupon_id)
            first = state["done"]
            step = rows[first : first + COUPON_BATCH_SIZE]
            verdicts = _import(coupon, run.tenant_id, step, now=run.clock(), first=first)
            state = _added(state, verdicts)
            run.save_checkpoint(
                state, fraction=state["done"] / len(rows), result=_import_result(state)
            )
    return _import_result(state)


def _added(state: Mapping[str, Any], verdicts: Sequence[RowVerdict]) -> dict[str, Any]:
    counts = {name: state[name] + count for name, count in _counts(verdicts).items()}
    told = [verdict_document(each) for each in verdicts if each.status != "imported"]
    results = [*state["results"], *told][:_SHOWN_FAULTS]
    return {**counts, "done": state["done"] + len(verdicts), "results": results}


def _import_result(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != "done"}


def import_document(verdicts: Sequence[RowVerdict]) -> dict[str, Any]:
    """Return the outcome of an import as contracts show it."""
    return {"results": [verdict_document(each) for each in verdicts], **_counts(verdicts)}


def verdict_document(verdict: RowVerdict) -> dict[str, Any]:
    """Return a verdict as contracts show it."""
    return {
        "index": verdict.index,
        "code": verdict.code,
        "status": verdict.status,
        "error": verdict.error or None,
    }


def _counts(verdicts: Sequence[RowVerdict]) -> dict[str, int]:
    statuses = [verdict.status for verdict in verdicts]
    return {name: statuses.count(name) for name in ("imported", "duplicate", "rejected")}


def _plain_row(row: Any) -> Any:
    """Return what an import reads of a row, so that a job does not store more."""
    if not isinstance(row, Mapping):
        return None
    plain = {key: row[key] for key in ("code", "user_id") if row.get(key) is not None}
    # No column of JSON takes NUL; such a row is refused as one without a code is.
    return plain if all(_is_storable(value) for value in plain.values()) else None


def _is_storable(value: Any) -> bool:
    return isinstance(value, str) and "\x00" not in value


def _import(
    coupon: CouponView, tenant_id: str, rows: Sequence[Any], *, now: datetime, first: int = 0
) -> list[RowVerdict]:
    read = rules.read_rows(rows, is_case_sensitive=coupon.is_case_sensitive)
    twice = rules.duplicates(read)
    players = _import_players(tenant_id, read, now=now)
    new: dict[int, NewCode] = {}
    verdicts: dict[int, RowVerdict] = {}
    for index, row in enumerate(read):
        place = first + index
        if row.fault:
            verdicts[index] = RowVerdict(place, row.code, "rejected", row.fault)
        elif row.user_id is not None and row.user_id not in players:
            verdicts[index] = RowVerdict(place, row.code, "rejected", "user_id is not valid")
        elif index in twice:
            verdicts[index] = RowVerdict(place, row.code, "duplicate")
        else:
            player_id = None if row.user_id is None else players[row.user_id]
            new[index] = NewCode(uuid7(), row.code, player_id)
    stored = store_codes(coupon, tenant_id, list(new.values()), now=now) if new else set()
    for index, code in new.items():
        status = "imported" if code.code_id in stored else "duplicate"
        verdicts[index] = RowVerdict(first + index, code.code, status)  # type: ignore[arg-type]
    return [verdicts[index] for index in range(len(read))]


def _import_players(tenant_id: str, rows: Sequence[ImportRow], *, now: datetime) -> dict[str, UUID]:
    """Return the players of the rows, without those whose id cannot be one."""
    wanted = {row.user_id for row in rows if row.user_id is not None and not row.fault}
    found: dict[str, UUID] = {}
    for group in _groups_of_valid(tenant_id, wanted, now=now):
        found |= {user_id: player_id for (_, user_id), player_id in group.items()}
    return found


def _groups_of_valid(
    tenant_id: str, wanted: Collection[str], *, now: datetime
) -> Iterator[dict[tuple[str, str], UUID]]:
    """Yield players by key: all at once, or half by half around an id that cannot be one."""
    if not wanted:
        return
    try:
        yield ensure_players({(tenant_id, user_id) for user_id in wanted}, now=now)
    except InvalidInputError:
        if len(wanted) == 1:
            return
        ordered = sorted(wanted)
        middle = len(ordered) // 2
        yield from _groups_of_valid(tenant_id, ordered[:middle], now=now)
        yield from _groups_of_valid(tenant_id, ordered[middle:], now=now)
