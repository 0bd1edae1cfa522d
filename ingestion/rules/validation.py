"""What a valid event is (ING-11 to ING-14): every fault at once, and one normalized form."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion import constants as c
from ingestion.rules.documents import DocumentCheck
from ingestion.rules.identity import canonical_json, content_hash
from ingestion.types import CheckedEvent, EventRules, NormalizedEvent
from phoenix_site.common.exceptions import Detail
from phoenix_site.common.times import NaiveTimeError, parse_rfc3339

_is_event_id = re.compile(rf"[\x21-\x7e]{{1,{c.MAX_EVENT_ID_CHARACTERS}}}").fullmatch
_is_type = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_-]+)*").fullmatch
# No control character, no slash, no half of a surrogate pair, no white space at the ends.
_is_user_id = re.compile(
    rf"(?!\s)[^\x00-\x1f\x7f-\x9f/\ud800-\udfff]{{1,{c.MAX_USER_ID_CHARACTERS}}}(?<!\s)"
).fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(c.EARLIEST_YEAR, 1, 1, tzinfo=UTC)
_LATEST_UNIX_SECONDS = 253_402_300_799
_PLACEHOLDER = "placeholder"
_MISSING = object()
_NOTHING: dict[str, Any] = {}


class _Faults(list[Detail]):
    """The faults found so far."""

    def add(self, field: str, message: str, reason: str = "bad_value") -> None:
        self.append(Detail(field, message, reason))


def check_event(payload: Any, rules: EventRules, *, has_escapes: bool = True) -> CheckedEvent:
    """Check one event that somebody sent; return its normalized form or all of its faults.

    ``has_escapes`` false promises that no text in it holds a NUL or half of a surrogate pair.
    """
    if type(payload) is not dict:
        return CheckedEvent(None, None, (Detail("", "must be an object", "wrong_type"),))
    older_names = _older_names(payload) if rules.accepts_older_shape else {}
    fields = _in_current_shape(payload, older_names) if older_names else payload
    faults = _Faults()
    if rules.max_event_bytes is not None and _compact_size(payload) > rules.max_event_bytes:
        faults.add("", f"is larger than {rules.max_event_bytes} bytes", "event_too_large")
    event_id = _event_id(fields, faults)
    type_ = _type(fields, faults)
    user_id, metadata = _actor(fields, faults)
    occurred_at = _occurred_at(fields, rules, faults)
    attrs = _object(fields.get("attrs", _MISSING), "attrs", faults)
    documents = DocumentCheck(has_escapes=has_escapes)
    if metadata:
        documents.check(metadata, "actor.metadata")
    if attrs:
        documents.check(attrs, "attrs")
    if faults or documents.faults:
        found = (*faults, *documents.faults)
        return CheckedEvent(None, event_id or None, _as_sent(found, older_names))
    has_fractions = documents.has_fractions
    metadata_text = canonical_json(metadata, has_fractions=has_fractions) if metadata else "{}"
    attrs_text = canonical_json(attrs, has_fractions=has_fractions) if attrs else "{}"
    digest = content_hash(type_, user_id, occurred_at, metadata=metadata_text, attrs=attrs_text)
    return CheckedEvent(
        NormalizedEvent(event_id, type_, user_id, metadata_text, attrs_text, occurred_at, digest),
        event_id,
        (),
        _warnings(payload, rules, older_names),
    )


def _older_names(payload: Mapping[str, Any]) -> dict[str, str]:
    """Return which current fields are told by older names, ``{}`` for an event of today."""
    if "type" in payload and "actor" in payload and "occurred_at" in payload and "attrs" in payload:
        return {}
    pairs = (
        ("type", "event_type"),
        ("actor", "user_id"),
        ("occurred_at", "timestamp"),
        ("attrs", "attributes"),
    )
    names = {now: old for now, old in pairs if now not in payload and old in payload}
    if names and "attrs" not in payload:
        # The only older field that may be left out.
        names["attrs"] = "attributes"
    return names


def _in_current_shape(payload: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    fields = dict(payload)
    for current, older in names.items():
        fields[current] = payload.get(older, {})
    if "actor" in names:
        fields["actor"] = {"user_id": payload["user_id"]}
    if "occurred_at" in names:
        fields["occurred_at"] = _from_unix_seconds(payload["timestamp"])
    return fields


def _from_unix_seconds(value: Any) -> Any:
    if type(value) is int and 0 <= value <= _LATEST_UNIX_SECONDS:
        return (_EPOCH + timedelta(seconds=value)).isoformat()
    return value


def _as_sent(found: tuple[Detail, ...], names: Mapping[str, str]) -> tuple[Detail, ...]:
    """Return the faults under the names that the sender used."""
    if not names:
        return found
    paths = {("actor.user_id" if now == "actor" else now): old for now, old in names.items()}
    return tuple(
        Detail(_renamed(fault.field, paths), fault.message, fault.reason) for fault in found
    )


def _renamed(field: str, paths: Mapping[str, str]) -> str:
    for current, older in paths.items():
        if field == current or field.startswith(current + "."):
            return older + field[len(current) :]
    return field


def _compact_size(payload: Any) -> int:
    try:
        return len(canonical_json(payload, has_fractions=False).encode())
    except UnicodeEncodeError:
        # Half of a surrogate pair has no size; where it matters it is a fault of its own.
        return 0


def _is_text(value: Any, field: str, faults: _Faults) -> bool:
    """Return whether ``value`` is text, and say otherwise what is wrong."""
    if type(value) is str:
        return True
    if value is _MISSING:
        faults.add(field, "is missing", "missing")
    else:
        faults.add(field, "must be a string", "wrong_type")
    return False


def _object(value: Any, field: str, faults: _Faults) -> dict[str, Any]:
    if type(value) is dict:
        return value
    if value is _MISSING:
        faults.add(field, "is missing", "missing")
    else:
        faults.add(field, "must be an object", "wrong_type")
    return {}


# The next three ask for the usual case first, because they are asked for every event of a list.


def _event_id(fields: Mapping[str, Any], faults: _Faults) -> str:
    value = fields.get("event_id", _MISSING)
    if type(value) is str and _is_event_id(value):
        return value
    if _is_text(value, "event_id", faults):
        most = c.MAX_EVENT_ID_CHARACTERS
        faults.add("event_id", f"must have 1 to {most} visible ASCII characters and no space")
    return ""


def _type(fields: Mapping[str, Any], faults: _Faults) -> str:
    value = fields.get("type", _MISSING)
    if type(value) is str and len(value) <= c.MAX_TYPE_CHARACTERS and _is_type(value):
        if value in c.INTERNAL_EVENT_TYPES:
            faults.add("type", "is a type that only Phoenix itself emits", "reserved_type")
        return value
    if _is_text(value, "type", faults):
        faults.add(
            "type",
            "must be letters, digits and _, in parts joined by points, "
            f"at most {c.MAX_TYPE_CHARACTERS} characters",
        )
    return ""


def _actor(fields: Mapping[str, Any], faults: _Faults) -> tuple[str, dict[str, Any]]:
    actor = fields.get("actor", _MISSING)
    if type(actor) is not dict:
        _object(actor, "actor", faults)
        return "", {}
    metadata = actor.get("metadata", _NOTHING)
    if type(metadata) is not dict:
        metadata = _object(metadata, "actor.metadata", faults)
    user_id = actor.get("user_id", _MISSING)
    if type(user_id) is str and _is_user_id(user_id):
        return user_id, metadata
    if _is_text(user_id, "actor.user_id", faults):
        faults.add(
            "actor.user_id",
            f"must have 1 to {c.MAX_USER_ID_CHARACTERS} characters, "
            "no control character, no / and no white space at its ends",
        )
    return "", metadata


def _occurred_at(fields: Mapping[str, Any], rules: EventRules, faults: _Faults) -> datetime:
    value = fields.get("occurred_at", _MISSING)
    if not _is_text(value, "occurred_at", faults):
        return _EPOCH
    try:
        occurred_at = parse_rfc3339(value)
    except NaiveTimeError as exc:
        faults.add("occurred_at", str(exc), "naive_time")
        return _EPOCH
    except ValueError as exc:
        faults.add("occurred_at", str(exc))
        return _EPOCH
    if rules.earliest <= occurred_at <= rules.latest and occurred_at >= _EARLIEST:
        return occurred_at
    if occurred_at < _EARLIEST:
        faults.add("occurred_at", f"must be in the year {c.EARLIEST_YEAR} or later")
    elif occurred_at > rules.latest:
        message = f"is over {rules.max_future_seconds} seconds ahead of the server"
        faults.add("occurred_at", message, "in_future")
    else:
        message = f"is older than the {rules.retention_days} days kept"
        faults.add("occurred_at", message, "too_old")
    return occurred_at


def _warnings(
    payload: Mapping[str, Any], rules: EventRules, older_names: Mapping[str, str]
) -> tuple[str, ...]:
    named = payload.get("tenant_id")
    is_replaced = named is not None and named != rules.tenant_id and named != _PLACEHOLDER
    if not is_replaced and not older_names:
        return ()
    return ("tenant_id_replaced",) * is_replaced + ("older_shape",) * bool(older_names)
