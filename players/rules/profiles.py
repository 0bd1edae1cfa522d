"""What the fields of a profile may hold (PLR-2): checked and brought into one form."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from phoenix_site.common.exceptions import Detail, InvalidInputError
from phoenix_site.common.times import parse_rfc3339
from phoenix_site.common.zones import zone_names
from players.constants import (
    CURRENCY_PATTERN,
    MAX_ATTRIBUTE_CHARACTERS,
    MAX_ATTRIBUTE_ITEMS,
    MAX_ATTRIBUTES,
    SLUG_PATTERN,
)

__all__ = ["FIELDS", "check_profile", "merged_attributes"]

Check = Callable[[Any], Any]
_is_slug: Final = re.compile(SLUG_PATTERN).fullmatch
_has_control: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
# What the database's texts cannot hold.
_has_unusable: Final = re.compile(r"[\x00\ud800-\udfff]").search
# ISO 3166-1, and XK, which everybody uses for Kosovo.
_COUNTRIES: Final = frozenset(
    re.findall(
        "[A-Z]{2}",
        """
        AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO
        BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ
        DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP
        GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG
        KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML
        MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE
        PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL
        SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM
        US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK
        """,
    )
)


def check_profile(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``changes`` as they are stored; ``None`` clears a field.

    ``attributes`` are only checked, see ``merged_attributes``. Raises: ``InvalidInputError`` with
    one detail per faulty or unknown field.
    """
    checked: dict[str, Any] = {}
    faults: list[Detail] = []
    for name, value in changes.items():
        try:
            checked[name] = _check(name, value)
        except ValueError as exc:
            faults.append(Detail(name, str(exc), "bad_value"))
    if faults:
        raise InvalidInputError(f"{faults[0].field} {faults[0].message}", details=faults)
    return checked


def merged_attributes(present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes after a merge patch: ``None`` takes one away.

    Raises: ``InvalidInputError`` when they become too many.
    """
    merged = {**present, **changes}
    kept = {name: value for name, value in merged.items() if value is not None}
    if len(kept) > MAX_ATTRIBUTES:
        message = f"are more than {MAX_ATTRIBUTES}"
        raise InvalidInputError(
            f"attributes {message}", details=[Detail("attributes", message, "bad_value")]
        )
    return kept


def _check(name: str, value: Any) -> Any:
    if name not in FIELDS:
        raise ValueError("is not a field that can be set")
    check, empty = FIELDS[name]
    if value is None or value == "":
        if empty is _NEEDED:
            raise ValueError("cannot be cleared")
        return empty
    return check(value)


def _text(longest: int) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest or _has_control(value):
            raise ValueError(f"must be text of at most {longest} characters")
        return value.strip()

    return check


def _matching(pattern: str, message: str) -> Check:
    matches = re.compile(pattern).fullmatch

    def check(value: Any) -> str:
        if not isinstance(value, str) or not matches(value):
            raise ValueError(message)
        return value

    return check


def _one_of(values: frozenset[str], message: str = "") -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise ValueError(message or f"must be one of {', '.join(sorted(values))}")
        return value

    return check


def _zone(value: Any) -> str:
    return _one_of(zone_names(), "must be an IANA time zone")(value)  # type: ignore[no-any-return]


def _instant(value: Any) -> datetime:
    found = value if isinstance(value, datetime) else parse_rfc3339(value)
    if found.tzinfo is None:
        raise ValueError("has no offset")
    return found


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("must be a date, YYYY-MM-DD")
    try:
        return date.fromisoformat(value)
    except ValueError as exc:
        raise ValueError("must be a date, YYYY-MM-DD") from exc


def _attributes(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("must be an object")  # noqa: TRY004 - callers handle one kind of error
    if not all(isinstance(name, str) and _is_slug(name) for name in value):
        raise ValueError("have names of 1 to 64 letters, digits, - and _")
    return {name: _attribute(item) for name, item in value.items()}


def _attribute(value: Any) -> Any:
    if not isinstance(value, list):
        return _plain(value)
    if len(value) > MAX_ATTRIBUTE_ITEMS:
        raise ValueError(f"have lists of at most {MAX_ATTRIBUTE_ITEMS} items")
    return [_plain(item) for item in value]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > MAX_ATTRIBUTE_CHARACTERS or _has_unusable(value):
            raise ValueError(f"have texts of at most {MAX_ATTRIBUTE_CHARACTERS} characters")
        return value
    if isinstance(value, Decimal | float):
        # The column's JSON is written from binary floats: what one cannot hold is refused.
        near = float(value)
        if not isfinite(near) or Decimal(str(near)) != Decimal(str(value)):
            raise ValueError("have fractions of at most 15 digits")
        return near
    if value is None or isinstance(value, bool | int):
        return value
    raise ValueError("are texts, numbers, booleans, or lists of these")


_NEEDED: Final = object()
_STATUSES: Final = frozenset({"active", "inactive", "blocked", "closed", "self_excluded"})
# The check of each field, and what it holds when it is cleared.
FIELDS: Final[Mapping[str, tuple[Check, Any]]] = {
    "username": (_text(80), ""),
    "first_name": (_text(80), ""),
    "last_name": (_text(80), ""),
    "email": (
        _matching(r"(?=.{3,254}$)[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+", "must be a mail address"),
        "",
    ),
    "phone": (_matching(r"\+[1-9][0-9]{1,14}", "must be a number as in E.164: +46701234567"), ""),
    "country": (_one_of(_COUNTRIES, "must be an ISO 3166-1 code of two letters"), ""),
    "city": (_text(120), ""),
    "language": (
        _matching(r"(?=.{2,35}$)[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*", "must be a BCP 47 tag"),
        "",
    ),
    "timezone": (_zone, ""),
    "birth_date": (_day, None),
    "gender": (_one_of(frozenset({"female", "male", "other", "unknown"})), ""),
    "currency": (_matching(CURRENCY_PATTERN, "must have 3 to 12 of A-Z and 0-9"), ""),
    "status": (_one_of(_STATUSES), _NEEDED),
    "kyc_status": (_one_of(frozenset({"none", "pending", "verified", "rejected"})), "none"),
    "activated_at": (_instant, None),
    "verified_at": (_instant, None),
    "registered_at": (_instant, None),
    "registration_device": (
        _one_of(frozenset({"mobile", "desktop", "tablet", "app", "other"})),
        "",
    ),
    "last_login_at": (_instant, None),
    "attributes": (_attributes, _NEEDED),
}
