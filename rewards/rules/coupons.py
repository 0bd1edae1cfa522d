"""Coupons: their definitions read and checked, the form of codes, and who may redeem what."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from phoenix_site.common.documents import Section
from phoenix_site.common.faults import Fault
from rewards.constants import COUPON_CODE_PATTERN
from rewards.exceptions import DocumentError
from rewards.types.coupons import CodeState, CouponFields, ImportRow, Refusal, UsageLimits

__all__ = [
    "ALPHABET",
    "READ_ONLY",
    "duplicates",
    "find_refusal",
    "fold",
    "is_code",
    "plain_cell",
    "random_code",
    "read_cell",
    "read_coupon",
    "read_csv",
    "read_rows",
]

# 32 signs, so that each takes five bits of a random byte; none looks like another one (CPN-2).
ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_FIVE_BITS: Final = 31
READ_ONLY: Final = frozenset({"id", "version", "created_at", "updated_at"})
_KEYS: Final = ("name", "description", "status", "config")
_CONFIG_KEYS: Final = (
    *("reward_item_id", "code_format", "code_prefix", "code_length", "custom_code"),
    *("case_sensitive", "starts_at", "expires_at", "usage_limit"),
)
_LIMIT_KEYS: Final = ("limit_type", "max_uses")
_LIMIT_TYPES: Final = ("per_user", "total", "unlimited")
_FORMATS: Final = ("random", "custom")
_STATUSES: Final = ("active", "inactive", "archived")
_MIN_LENGTH, _MAX_LENGTH, _DEFAULT_LENGTH = 6, 32, 8
_MAX_USES: Final = 2_147_483_647
_MAX_NAME, _MAX_DESCRIPTION = 255, 2000
_NO_ITEM: Final = UUID(int=0)
_NO_LIMIT_SENT: Final[Mapping[str, Any]] = {"limit_type": "per_user", "max_uses": 1}
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")
_matches_code = re.compile(COUPON_CODE_PATTERN).fullmatch
_is_prefix = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]").search


# --- Definitions ---------------------------------------------------------------------------------


def read_coupon(document: Mapping[str, Any]) -> CouponFields:
    """Return the definition that ``document`` describes (CPN-1).

    Raises: ``DocumentError`` with every fault.
    """
    faults: list[Fault] = []
    sent = {key: value for key, value in document.items() if key not in READ_ONLY}
    section = Section(sent, "", faults, keys=_KEYS)
    section.require("name")
    section.require("config")
    config = section.section("config", keys=_CONFIG_KEYS)
    fields = _read_fields(section, config)
    if faults:
        raise DocumentError(faults)
    return fields


def _read_fields(section: Section, config: Section) -> CouponFields:
    is_case_sensitive = _read_switch(config, "case_sensitive")
    code_format = config.choice("code_format", _FORMATS, "random")
    starts_at, expires_at = config.instant("starts_at"), config.instant("expires_at")
    if starts_at is not None and expires_at is not None and expires_at <= starts_at:
        config.refuse("expires_at", "must be after starts_at")
    limits, usage_limit = _read_limits(config)
    return CouponFields(
        name=_read_text(section, "name", low=1, high=_MAX_NAME),
        description=_read_text(section, "description", high=_MAX_DESCRIPTION),
        status=section.choice("status", _STATUSES, "active"),
        item_id=_read_item_id(config),
        code_format=code_format,
        code_prefix=_read_prefix(config, code_format, is_case_sensitive=is_case_sensitive),
        code_length=_read_length(config),
        custom_code=_read_custom(config, code_format, is_case_sensitive=is_case_sensitive),
        is_case_sensitive=is_case_sensitive,
        starts_at=starts_at,
        expires_at=expires_at,
        limits=limits,
        usage_limit=usage_limit,
    )


def _read_text(section: Section, key: str, *, high: int, low: int = 0) -> str:
    value = section.raw(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not low <= len(value.strip()) <= high or _CONTROL(value):
        section.refuse(key, f"must be a text of {low} to {high} characters")
        return ""
    return value.strip()


def _read_switch(section: Section, key: str) -> bool:
    value = section.raw(key)
    if value is not None and not isinstance(value, bool):
        section.refuse(key, "must be true or false")
    return value is True


def _read_item_id(config: Section) -> UUID:
    if not config.require("reward_item_id"):
        return _NO_ITEM
    try:
        return UUID(config.raw("reward_item_id"))
    except (ValueError, AttributeError, TypeError):
        config.refuse("reward_item_id", "must be the id of a reward item")
        return _NO_ITEM


def _read_length(config: Section) -> int:
    if not config.has("code_length"):
        return _DEFAULT_LENGTH
    return config.integer("code_length", _DEFAULT_LENGTH, low=_MIN_LENGTH, high=_MAX_LENGTH)


def _read_prefix(config: Section, code_format: str, *, is_case_sensitive: bool) -> str:
    value = config.raw("code_prefix")
    if value is None or value == "":
        return ""
    if code_format == "custom":
        config.refuse("code_prefix", "is for random codes only")
    elif not isinstance(value, str) or not _is_prefix(value):
        config.refuse("code_prefix", "must be at most 32 letters, digits, - and _")
    else:
        return fold(value, is_case_sensitive=is_case_sensitive)
    return ""


def _read_custom(config: Section, code_format: str, *, is_case_sensitive: bool) -> str:
    value = config.raw("custom_code")
    if code_format == "random":
        if value not in (None, ""):
            config.refuse("custom_code", "needs the code_format custom")
        return ""
    if not isinstance(value, str) or not is_code(value.strip()):
        config.refuse("custom_code", "must have 3 to 64 letters, digits, - and _")
        return ""
    return fold(value.strip(), is_case_sensitive=is_case_sensitive)


def _read_limits(config: Section) -> tuple[UsageLimits, Any]:
    sent = config.raw("usage_limit")
    if sent is None:
        sent = dict(_NO_LIMIT_SENT)
    entries = sent if isinstance(sent, list) else [sent]
    found: dict[str, int | None] = {}
    if not entries:
        config.refuse("usage_limit", "must have an entry")
    for index, entry in enumerate(entries):
        path = "usage_limit" if entries is not sent else f"usage_limit.{index}"
        _read_limit(config, path, entry, found)
    if "unlimited" in found and len(found) > 1:
        config.refuse("usage_limit", "unlimited stands alone")
    return UsageLimits(found.get("per_user"), found.get("total")), sent


def _read_limit(config: Section, path: str, entry: Any, found: dict[str, int | None]) -> None:
    limit = Section(entry, config.path_of(path), config.faults, keys=_LIMIT_KEYS)
    if not limit.is_object or not limit.require("limit_type"):
        return
    kind = limit.choice("limit_type", _LIMIT_TYPES, "unlimited")
    if kind in found:
        limit.refuse("limit_type", "stands there twice")
    if kind == "unlimited":
        found[kind] = None
        return
    limit.require("max_uses")
    found[kind] = limit.integer("max_uses", 1, low=1, high=_MAX_USES)


# --- Codes ---------------------------------------------------------------------------------------


def is_code(text: str) -> bool:
    """Return whether ``text`` can be a code."""
    return bool(_matches_code(text))


def fold(code: str, *, is_case_sensitive: bool) -> str:
    """Return the code as it is stored (CPN-2)."""
    return code if is_case_sensitive else code.upper()


def random_code(prefix: str, noise: bytes) -> str:
    """Return a code with one sign per byte of ``noise``; without bias, as 32 divides 256."""
    return prefix + "".join(ALPHABET[byte & _FIVE_BITS] for byte in noise)


def find_refusal(state: CodeState, now: datetime) -> Refusal | None:
    """Return why the player may not redeem the code at ``now``, in the order of CPN-4."""
    checks: tuple[tuple[bool, Refusal], ...] = (
        (state.is_others, "other_player"),
        (state.code_status == "revoked", "void"),
        (state.coupon_status != "active", "inactive"),
        (state.starts_at is not None and now < state.starts_at, "not_started"),
        (state.expires_at is not None and now >= state.expires_at, "expired"),
        (_is_redeemed(state), "already_redeemed"),
        (_is_at_limit(state), "usage_limit_reached"),
    )
    return next((reason for is_so, reason in checks if is_so), None)


def _is_redeemed(state: CodeState) -> bool:
    if not state.is_shared:
        return state.code_status == "redeemed"
    return state.limits.per_user == 1 and state.used_count >= 1


def _is_at_limit(state: CodeState) -> bool:
    per_user, total = state.limits.per_user, state.limits.total
    if per_user is not None and state.used_count >= per_user:
        return True
    return total is not None and state.redeemed_count >= total


# --- Imports and exports -------------------------------------------------------------------------


def read_rows(rows: Iterable[Any], *, is_case_sensitive: bool) -> list[ImportRow]:
    """Return the rows of an import, each with its code folded and what is wrong with it."""
    return [_read_row(row, is_case_sensitive=is_case_sensitive) for row in rows]


def read_csv(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file whose first line names the columns ``code`` and ``user_id``.

    Commas or semicolons; what ``plain_cell`` put before a cell is taken off again.

    Raises: ``DocumentError`` without such a first line.
    """
    lines = text.lstrip("\ufeff")
    head = lines.splitlines()[0] if lines.strip() else ""
    reader = csv.reader(io.StringIO(lines), delimiter=";" if ";" in head else ",", strict=False)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if "code" not in names:
            raise DocumentError([Fault("", "the first line must name a column code")])
        return [dict(zip(names, map(read_cell, row), strict=False)) for row in reader if any(row)]
    except csv.Error as exc:
        raise DocumentError([Fault("", f"is not CSV: {exc}")]) from exc


def plain_cell(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula (CPN-7)."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text


def read_cell(text: str) -> str:
    """Return what ``plain_cell`` made of a text as it was."""
    stripped = text.strip()
    is_quoted = stripped.startswith("'") and stripped[1:].startswith(_FORMULA_SIGNS)
    return stripped[1:] if is_quoted else stripped


def _read_row(row: Any, *, is_case_sensitive: bool) -> ImportRow:
    if not isinstance(row, Mapping):
        return ImportRow("", None, "is not an object")
    code, user_id = row.get("code"), row.get("user_id")
    shown = code.strip() if isinstance(code, str) else ""
    if not is_code(shown):
        fault = "code must have 3 to 64 letters, digits, - and _"
        return ImportRow(_without_control(shown)[:64], None, fault)
    if user_id is not None and not isinstance(user_id, str):
        return ImportRow(shown, None, "user_id must be a text")
    return ImportRow(fold(shown, is_case_sensitive=is_case_sensitive), user_id or None)


def _without_control(text: str) -> str:
    """Return a text that an answer, a job and the database can hold."""
    return "".join(sign for sign in text if sign.isprintable())


def duplicates(rows: Sequence[ImportRow]) -> set[int]:
    """Return the places of rows whose code an earlier row has."""
    seen: set[str] = set()
    found: set[int] = set()
    for index, row in enumerate(rows):
        if row.fault:
            continue
        if row.code in seen:
            found.add(index)
        seen.add(row.code)
    return found
