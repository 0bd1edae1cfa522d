"""The codes of a coupon as CSV (CPN-7)."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

from phoenix_site.common.times import format_utc
from rewards.constants import COUPON_BATCH_SIZE
from rewards.rules.coupons import plain_cell
from rewards.selectors.coupon_codes import export_chunk
from rewards.types.coupons import ShownCode

__all__ = ["export_name", "export_parts"]

_COLUMNS: Final = (
    *("code", "user_id", "status", "generated_at", "expires_at"),
    *("redeemed_at", "redeemed_by", "redemption_count"),
)

_FIRST: Final = UUID(int=0)


def export_name(coupon_id: UUID) -> str:
    """Return what the file is called."""
    return f"coupon-{coupon_id}.csv"


def export_parts(tenant_id: str, coupon_id: UUID, *, now: datetime) -> Iterator[str]:
    """Yield the file in parts of some thousand lines, in the order in which codes were made.

    Codes that are made meanwhile come too. No transaction stays open between parts.
    """
    yield _lines([_COLUMNS])
    after = _FIRST
    while chunk := export_chunk(tenant_id, coupon_id, after, limit=COUPON_BATCH_SIZE, now=now):
        yield _lines([_cells(code) for code in chunk])
        after = chunk[-1].code_id


def _lines(rows: list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _cells(code: ShownCode) -> tuple[str, ...]:
    values = (
        *(code.code, code.user_id, code.status),
        *map(_time, (code.created_at, code.expires_at, code.redeemed_at)),
        *(code.redeemed_by, code.redemption_count),
    )
    return tuple(map(plain_cell, values))


def _time(value: datetime | None) -> str:
    return "" if value is None else format_utc(value)
