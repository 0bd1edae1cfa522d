"""Bodies that change a rule's status or try rules on an event; every fault is found at once."""

from collections.abc import Collection, Mapping
from typing import Any

from phoenix_site.common.faults import Fault
from phoenix_site.common.times import parse_rfc3339
from rewards.exceptions import DocumentError

__all__ = ["check_dry_run", "read_status"]

_MAX_REASON = 500


def read_status(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``version``, ``at`` and ``reason``. Raises: ``DocumentError``."""
    faults = _unknown(body, {"version", "at", "reason"}) + _version_faults(body)
    at, reason = body.get("at"), body.get("reason") or ""
    if not isinstance(reason, str) or len(reason) > _MAX_REASON:
        faults.append(Fault("reason", f"must be a text of at most {_MAX_REASON} characters"))
    instant = None
    if at is not None:
        try:
            instant = parse_rfc3339(at)
        except ValueError as exc:
            faults.append(Fault("at", str(exc)))
    if faults:
        raise DocumentError(faults)
    return {"version": body.get("version"), "at": instant, "reason": reason}


def check_dry_run(body: Mapping[str, Any]) -> None:
    """Check what a dry run is asked for. Raises: ``DocumentError``."""
    faults = _unknown(body, {"rule_id", "version", "event_id", "event"}) + _version_faults(body)
    if body.get("version") is not None and body.get("rule_id") is None:
        faults.append(Fault("version", "needs a rule_id"))
    faults += [
        Fault(key, "must be a string")
        for key in ("rule_id", "event_id")
        if not isinstance(body.get(key), str | None)
    ]
    if (body.get("event_id") is None) == (body.get("event") is None):
        faults.append(Fault("event", "exactly one of event_id and event is required"))
    if faults:
        raise DocumentError(faults)


def _unknown(body: Mapping[str, Any], keys: Collection[str]) -> list[Fault]:
    return [Fault(key, "is not a known key") for key in sorted(body.keys() - set(keys))]


def _version_faults(body: Mapping[str, Any]) -> list[Fault]:
    version = body.get("version")
    if version is None or (type(version) is int and 1 <= version < 2**31):
        return []
    return [Fault("version", "must be a whole number from 1")]
